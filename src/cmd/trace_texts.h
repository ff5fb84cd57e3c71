/* `trace` of a file of texts into a folder, in place of one text into a file. */
#ifndef SW_CMD_TRACE_TEXTS_H
#define SW_CMD_TRACE_TEXTS_H

#include "cmd/options.h"

enum sw_status sw_trace_texts(struct sw_call *call);

extern const struct sw_option sw_options_trace_texts[]; /* --layers --positions … */

#endif
