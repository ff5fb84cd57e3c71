/* A template's text as tokens (private to src/jinja). */
#ifndef SW_JINJA_JINJA_LEX_H
#define SW_JINJA_JINJA_LEX_H

#include "base/arena.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum sw_jinja_token_kind {
    SW_T_DATA, /* text between tags, white space already trimmed */
    SW_T_PRINT_BEGIN,
    SW_T_PRINT_END,
    SW_T_BLOCK_BEGIN,
    SW_T_BLOCK_END,
    SW_T_NAME,
    SW_T_STRING, /* `text` is its value, without quotes and escapes */
    SW_T_INTEGER,
    SW_T_FLOAT,
    SW_T_OPERATOR,
    SW_T_END
};

struct sw_jinja_token {
    enum sw_jinja_token_kind kind;
    int line;
    const char *text; /* in the arena, NUL-terminated for names and operators */
    size_t length;
    int64_t integer; /* of SW_T_INTEGER */
    double real;     /* of SW_T_FLOAT */
};

/*
 * Splits a template into *tokens: (*count) in the arena, the last one SW_T_END. SW_EMODEL names the
 * line; the source must be UTF-8.
 */
enum sw_status sw_jinja_lex(struct sw_arena *arena, const char *source, size_t n,
                            struct sw_jinja_token **tokens, size_t *count);

#endif
