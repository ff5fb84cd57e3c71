/* Characters as Python's str sees them (private to src/jinja). */
#ifndef SW_JINJA_JINJA_CHARS_H
#define SW_JINJA_JINJA_CHARS_H

#include "jinja/jinja_value.h"

bool sw_char_is_space(uint32_t c);
bool sw_char_is_line_end(uint32_t c);
bool sw_char_is_alpha(uint32_t c);
bool sw_char_is_digit(uint32_t c);
bool sw_char_is_upper(uint32_t c);
bool sw_char_is_lower(uint32_t c);

enum sw_char_case { SW_CASE_UPPER, SW_CASE_LOWER, SW_CASE_TITLE };

/* Appends one character, or all of a text, in that case. */
void sw_char_put(enum sw_char_case form, uint32_t c, struct sw_strbuf *out);
void sw_text_put(enum sw_char_case form, const struct sw_value *v, struct sw_strbuf *out);

/* Built-ins that are both methods and filters (jinja_text.c, jinja_split.c); self counts as
 * str(self). */
struct sw_jinja_run;
struct sw_jinja_call;
typedef enum sw_status sw_text_fn(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  struct sw_value *out);
sw_text_fn sw_text_upper, sw_text_lower, sw_text_capitalize, sw_text_strip, sw_text_lstrip,
    sw_text_rstrip, sw_text_replace, sw_text_center, sw_text_split, sw_text_rsplit,
    sw_text_splitlines, sw_text_partition, sw_text_rpartition, sw_text_format, sw_text_percent;

#endif
