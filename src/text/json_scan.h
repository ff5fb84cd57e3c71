/*
 * A pull scanner over JSON text, for the members of a tokenizer file with hundreds of thousands of
 * strings (vocabulary, merges), and for the lines of jobs. Smaller values are read by base/json.h.
 */
#ifndef SW_TEXT_JSON_SCAN_H
#define SW_TEXT_JSON_SCAN_H

#include "base/status.h"
#include "base/strbuf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sw_json_scan {
    const char *begin, *at, *end;
    bool first;               /* no member or element of the innermost object or array was read */
    struct sw_strbuf text[2]; /* decoded strings, used in turn: the last two stay valid */
    unsigned turn;
};

struct sw_json_range {
    const char *bytes; /* NULL: absent */
    size_t length;
};

/* Begins at bytes[0..n), which are borrowed. All failures below are SW_EMODEL and name the byte
 * offset. */
void sw_json_scan_begin(struct sw_json_scan *scan, const char *bytes, size_t n);
void sw_json_scan_free(struct sw_json_scan *scan);
/* The next byte that is not white space, '\0' at the end. */
char sw_json_scan_peek(struct sw_json_scan *scan);
/* Enters an object (open '{') or array ('['). */
enum sw_status sw_json_scan_enter(struct sw_json_scan *scan, char open);
/* Moves to the next member or element; *more false: the end ('}' or ']') was read. */
enum sw_status sw_json_scan_next(struct sw_json_scan *scan, char open, bool *more);
/* Reads a string, decoded, valid UTF-8; *text stays valid for one more string. */
enum sw_status sw_json_scan_string(struct sw_json_scan *scan, const char **text, size_t *n);
/* Reads a member's name, as sw_json_scan_string, and the colon after it. */
enum sw_status sw_json_scan_key(struct sw_json_scan *scan, const char **text, size_t *n);
/* Reads an integer. */
enum sw_status sw_json_scan_integer(struct sw_json_scan *scan, int64_t *value);
/* Skips any value; *range is its text. Characters of strings in it are not checked. */
enum sw_status sw_json_scan_skip(struct sw_json_scan *scan, struct sw_json_range *range);
/* SW_EMODEL when anything but white space is left. */
enum sw_status sw_json_scan_end(struct sw_json_scan *scan);

/* Parses a range; *out is NULL for an absent one, and the caller frees it. `name` is for messages.
 */
enum sw_status sw_json_parse(const struct sw_json_range *range, const char *name, json_t **out);

#endif
