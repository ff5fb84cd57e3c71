/*
 * Rows of logits as they come from the last stage, for `compare`: the first model's go into a file
 * as base rows, the second's are compared with them. Rows are taken in the order of the text and
 * worked on in groups, each row by one thread, so threads change no bit.
 */
#ifndef SW_CMD_LOGIT_ROWS_H
#define SW_CMD_LOGIT_ROWS_H

#include "jobs/comparison.h"
#include "jobs/row_file.h"
#include "jobs/text_windows.h"
#include "session/session.h"

struct sw_logit_rows;

/*
 * `comparison` NULL: rows are written to `file`; else they are compared with those of `file`. All
 * are borrowed. SW_ENOMEM. The caller closes *out.
 */
enum sw_status sw_logit_rows_open(struct sw_session *session, const struct sw_text_windows *windows,
                                  struct sw_row_file *file, struct sw_comparison *comparison,
                                  struct sw_logit_rows **out);
void sw_logit_rows_close(struct sw_logit_rows *rows);
/* As struct sw_driver_hooks.logits; `rows` is a struct sw_logit_rows. One window at a time. */
enum sw_status sw_logit_rows_take(void *rows, const struct sw_span *span, const float *logits);
/* Works on what is left. SW_EPEER when rows are missing. */
enum sw_status sw_logit_rows_finish(void *rows);

#endif
