/* Standard output and standard input, whose errors are failures. */
#ifndef SW_CMD_OUTPUT_H
#define SW_CMD_OUTPUT_H

#include "base/status.h"

#include <jansson.h>

/* Flushes standard output. SW_EIO when something printed now or before could not be written. */
enum sw_status sw_output_flush(void);
/* Prints a model's text. On a terminal control bytes are escaped; characters stay whole. */
void sw_output_text(const char *text, size_t n);
/* Prints `root` (NULL: SW_ENOMEM) on stdout, indented, and frees it. SW_EIO when stdout fails. */
enum sw_status sw_json_print(json_t *root);
/* To be called at the end of standard input: SW_EIO when it was a read error. */
enum sw_status sw_input_check(void);

#endif
