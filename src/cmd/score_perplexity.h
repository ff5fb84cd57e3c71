/* `score --perplexity`: one number about a text, in place of a file of results. */
#ifndef SW_CMD_SCORE_PERPLEXITY_H
#define SW_CMD_SCORE_PERPLEXITY_H

#include "cmd/options.h"

enum sw_status sw_score_perplexity(struct sw_call *call);

#endif
