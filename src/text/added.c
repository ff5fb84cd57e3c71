/* Owns the list of added tokens and the search for them in a text. */
#include "text/added.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

struct sw_added_token *sw_added_find(const struct sw_added *added, const char *text, size_t n)
{
    for (size_t i = 0; i < added->count; i++)
        if (added->items[i].length == n && memcmp(added->items[i].content, text, n) == 0)
            return &added->items[i];
    return NULL;
}

struct sw_added_token *sw_added_by_id(const struct sw_added *added, int32_t id)
{
    for (size_t i = 0; i < added->count; i++)
        if (added->items[i].id == id)
            return &added->items[i];
    return NULL;
}

enum sw_status sw_added_put(struct sw_added *added, const struct sw_added_token *token)
{
    if (token->length == 0 || token->length > SW_TRIE_KEY_MAX)
        return sw_fail(SW_EMODEL, "added token %d has %zu bytes; 1 to %d are supported", token->id,
                       token->length, SW_TRIE_KEY_MAX);
    char *content = malloc(token->length + 1);
    if (!content)
        return sw_fail(SW_ENOMEM, "no memory for an added token");
    memcpy(content, token->content, token->length);
    content[token->length] = '\0';
    struct sw_added_token *slot = sw_added_find(added, content, token->length);
    if (!slot)
        slot = sw_added_by_id(added, token->id);
    if (!slot && added->count == added->capacity) {
        const size_t capacity = added->capacity ? added->capacity * 2 : 64;
        struct sw_added_token *items =
            capacity > SW_ADDED_MAX ? NULL : realloc(added->items, capacity * sizeof *items);
        if (!items) {
            free(content);
            return sw_fail(SW_EMODEL, "more than %d added tokens", SW_ADDED_MAX);
        }
        added->items = items;
        added->capacity = capacity;
    }
    if (slot)
        free(slot->content);
    else
        slot = &added->items[added->count++];
    *slot = *token;
    slot->content = content;
    return SW_OK;
}

enum sw_status sw_added_index(struct sw_added *added, struct sw_normalizer *normalizer)
{
    sw_trie_free(&added->raw);
    sw_trie_free(&added->normalized);
    for (size_t i = 0; i < added->count; i++) {
        const struct sw_added_token *token = &added->items[i];
        const char *key = token->content;
        size_t n = token->length;
        if (token->normalized)
            SW_TRY(sw_normalize(normalizer, key, n, true, &key, &n));
        if (n > 0)
            SW_TRY(sw_trie_add(token->normalized ? &added->normalized : &added->raw, key, n,
                               (int32_t)i));
    }
    return SW_OK;
}

/* Where the character before text[at] begins. */
static size_t previous_character(const char *text, size_t at)
{
    do
        at--;
    while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80);
    return at;
}

static bool is_single_word(const char *text, size_t n, size_t start, size_t end)
{
    int length;
    if (start > 0 &&
        sw_utf8_is_word(sw_utf8_decode(text + previous_character(text, start), &length)))
        return false;
    return end == n || !sw_utf8_is_word(sw_utf8_decode(text + end, &length));
}

static struct sw_added_hit extend_over_spaces(const struct sw_added_token *token, const char *text,
                                              size_t n, size_t from, size_t start, size_t end)
{
    int length;
    for (size_t before; token->lstrip && start > from; start = before) {
        before = previous_character(text, start);
        if (!sw_utf8_is_space(sw_utf8_decode(text + before, &length)))
            break;
    }
    for (; token->rstrip && end < n; end += (size_t)length)
        if (!sw_utf8_is_space(sw_utf8_decode(text + end, &length)))
            break;
    return (struct sw_added_hit){token, start, end};
}

struct sw_added_hit sw_added_next(const struct sw_added *added, const struct sw_trie *trie,
                                  const char *text, size_t n, size_t from, bool with_special)
{
    size_t length = 1;
    for (size_t i = from; trie->nodes && i < n; i += length) {
        int32_t index = -1;
        length = 1;
        if (!trie->by_first[(unsigned char)text[i]])
            continue;
        const size_t match = sw_trie_longest(trie, text + i, n - i, &index);
        if (match == 0)
            continue;
        /* One that does not count here still hides shorter ones inside it. */
        length = match;
        const struct sw_added_token *token = &added->items[index];
        if ((token->special && !with_special) ||
            (token->single_word && !is_single_word(text, n, i, i + match)))
            continue;
        return extend_over_spaces(token, text, n, from, i, i + match);
    }
    return (struct sw_added_hit){.start = n, .end = n};
}

void sw_added_free(struct sw_added *added)
{
    for (size_t i = 0; i < added->count; i++)
        free(added->items[i].content);
    free(added->items);
    sw_trie_free(&added->raw);
    sw_trie_free(&added->normalized);
    *added = (struct sw_added){0};
}
