/* Grammars and schemas of requests: what is accepted keeps random tokens to texts of it, and what a
 * schema becomes is a grammar. */
#include "base/json.h"
#include "grammar/grammar.h"
#include "grammar/guide.h"
#include "grammar/json_schema.h"
#include "grammar/token_trie.h"

#include <stdlib.h>
#include <string.h>

#define TOKENS 300

/* The bytes, and some of two; the last one ends a text. */
static struct sw_guides *guides_of_bytes(void)
{
    static const char pairs[] = "\"}{\"\":, 00[]],ab{}\n tr";
    struct sw_guides *guides;
    struct sw_strbuf block = {0};
    for (int i = 0; i < TOKENS; i++) {
        const int n = i < 256 ? 1 : i < 256 + 20 ? 2 : 0;
        const char head[2] = {(char)n, (char)(i == TOKENS - 1 ? SW_TOKEN_END >> 8 : 0)};
        const char byte = (char)i;
        sw_strbuf_append(&block, head, 2);
        if (n > 0)
            sw_strbuf_append(&block, n == 1 ? &byte : pairs + (i - 256), (size_t)n);
    }
    if (sw_guides_open(block.text, block.length, &guides) != SW_OK)
        abort();
    sw_strbuf_free(&block);
    return guides;
}

static void follow(struct sw_guides *guides, const char *grammar, size_t n, uint32_t random)
{
    struct sw_guide *guide;
    const uint64_t *allowed;
    if (sw_guide_open(guides, grammar, n, &guide) != SW_OK)
        return;
    for (int step = 0; step < 60 && sw_guide_allowed(guide, &allowed) == SW_OK; step++) {
        random = random * 1664525u + 1013904223u;
        int id = (int)((random >> 8) % TOKENS);
        while (!(allowed[id / 64] >> (id % 64) & 1))
            id = (id + 1) % TOKENS;
        /* A limit may be met here, but then the next call says so, too. */
        if (sw_guide_take(guide, id) != SW_OK && !strstr(sw_error_message(), "nested"))
            abort();
        if (id == TOKENS - 1)
            break;
    }
    sw_error_clear();
    sw_guide_close(guide);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sw_strbuf grammar = {0};
    json_t *schema;
    struct sw_guides *guides = guides_of_bytes();
    const char *text = size > 0 ? (const char *)data : "";
    if (size > 0 && (*text == '{' || *text == 't')) {
        if (sw_json_read(text, size, SW_JSON_INPUT, &schema) == SW_OK) {
            if (sw_json_schema_grammar(schema, &grammar) == SW_OK) {
                /* A grammar; but it may be too large, or a schema that begins with itself. */
                if (sw_guide_check(grammar.text, grammar.length) != SW_OK &&
                    !strstr(sw_error_message(), "too ") && !strstr(sw_error_message(), "itself") &&
                    !strstr(sw_error_message(), "more than") &&
                    !strstr(sw_error_message(), "bytes") &&
                    !strstr(sw_error_message(), "least is above") &&
                    !strstr(sw_error_message(), "before it begins"))
                    abort();
                follow(guides, grammar.text, grammar.length, (uint32_t)size);
            }
            json_decref(schema);
        }
    } else if (size > 0) {
        follow(guides, text, size, (uint32_t)size);
    }
    sw_error_clear();
    sw_strbuf_free(&grammar);
    sw_guides_close(guides);
    return 0;
}
