/*
 * Follows texts through a grammar byte by byte. What may come next is a state: a set of stacks,
 * each of an op that takes a byte and of the ops to return to. Stacks and states are kept once and
 * known by number, and so are the steps between states, so a step that was made before is a look
 * into a table. States are numbers of one matcher, valid until it is cleared or compacted.
 */
#ifndef SW_GRAMMAR_MATCHER_H
#define SW_GRAMMAR_MATCHER_H

#include "grammar/grammar.h"

#include <stdbool.h>

#define SW_MATCHER_STATES_MAX 2048 /* 1 KiB each */
#define SW_MATCHER_STACKS_MAX (64 << 10)
#define SW_MATCHER_SET_MAX 1024    /* stacks of one state: how ambiguous a text may be */
#define SW_MATCHER_DEPTH_MAX 10000 /* ops to return to */

#define SW_STATE_DEAD 0      /* no text of the grammar begins so */
#define SW_STATE_FAILED (-1) /* one of the limits above, or no memory */

struct sw_matcher;
/* `grammar` must outlive *out. SW_ENOMEM. The caller closes it. */
enum sw_status sw_matcher_open(const struct sw_grammar *grammar, struct sw_matcher **out);
void sw_matcher_close(struct sw_matcher *matcher);
/* Forgets all states. */
void sw_matcher_clear(struct sw_matcher *matcher);
/* The state before the first byte. */
int sw_matcher_start(struct sw_matcher *matcher);
/* The state of stacks that have the n ops alone: what comes after their rules is not known. */
int sw_matcher_at(struct sw_matcher *matcher, const int *ops, int n);
int sw_matcher_step(struct sw_matcher *matcher, int state, unsigned char byte);
/* Whether the text may end here. */
bool sw_matcher_accepts(const struct sw_matcher *matcher, int state);
/* Of a text from sw_matcher_at: whether it may have left the rules that were known. */
bool sw_matcher_leaves(const struct sw_matcher *matcher, int state);
/* Whether a byte can follow, as far as is known. */
bool sw_matcher_goes_on(const struct sw_matcher *matcher, int state);
/* The stacks of a state: (n) pairs of the op on top and the number of what is below it. */
struct sw_stack {
    int op, below;
};
int sw_matcher_stacks(const struct sw_matcher *matcher, int state, const struct sw_stack **out,
                      int **numbers);
/* Whether it should be compacted before more texts are tried. */
bool sw_matcher_is_full(const struct sw_matcher *matcher);
/* Forgets all but `state`; returns its new number. */
int sw_matcher_compact(struct sw_matcher *matcher, int state);

#endif
