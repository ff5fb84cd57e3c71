/* Owns the keys of clients. */
#include "serve/api_keys.h"

#include "base/file.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define FILE_MAX (1u << 20)

static enum sw_status keys_add(struct sw_api_keys *out, const char *path, const char *key, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (key[i] <= ' ' || key[i] > '~' || n > SW_API_KEY_MAX)
            return sw_fail(SW_EUSAGE,
                           "%s: a key must be one word of printable ASCII, of up to %d characters",
                           path, SW_API_KEY_MAX);
    char **grown = realloc(out->keys, (out->n + 1) * sizeof *grown);
    if (grown)
        out->keys = grown;
    char *copy = grown ? strndup(key, n) : NULL;
    if (!copy)
        return sw_fail(SW_ENOMEM, "no memory for keys");
    out->keys[out->n++] = copy;
    return SW_OK;
}

enum sw_status sw_api_keys_read(const char *path, struct sw_api_keys *out)
{
    char *bytes;
    size_t length;
    struct stat st;
    *out = (struct sw_api_keys){0};
    SW_TRY(sw_file_read(path, FILE_MAX, &bytes, &length));
    enum sw_status status = SW_OK;
    for (size_t at = 0; at < length && status == SW_OK;) {
        size_t n = 0, next;
        while (at + n < length && bytes[at + n] != '\n')
            n++;
        next = at + n + 1;
        while (n > 0 && (bytes[at] == ' ' || bytes[at] == '\t'))
            at++, n--;
        while (n > 0 && strchr(" \t\r", bytes[at + n - 1]))
            n--;
        if (n > 0 && bytes[at] != '#')
            status = keys_add(out, path, bytes + at, n);
        at = next;
    }
    free(bytes);
    if (status == SW_OK && out->n == 0)
        status = sw_fail(SW_EUSAGE, "%s: has no key; write one a line", path);
    if (status != SW_OK)
        sw_api_keys_free(out);
    else if (stat(path, &st) == 0 && (st.st_mode & 077))
        sw_log(SW_LOG_WARN, "%s: others may read the keys; chmod 600 it", path);
    return status;
}

void sw_api_keys_free(struct sw_api_keys *keys)
{
    for (size_t i = 0; i < keys->n; i++)
        free(keys->keys[i]);
    free(keys->keys);
    *keys = (struct sw_api_keys){0};
}

/* Looks at SW_API_KEY_MAX bytes of both, whatever they are. */
static unsigned keys_differ(const char *key, const char *given, size_t n_given)
{
    char a[SW_API_KEY_MAX] = {0}, b[SW_API_KEY_MAX] = {0};
    unsigned difference = n_given > sizeof b;
    memcpy(a, key, strlen(key)); /* keys_add has checked it */
    memcpy(b, given, n_given < sizeof b ? n_given : sizeof b);
    for (size_t i = 0; i < sizeof a; i++)
        difference |= (unsigned)(unsigned char)(a[i] ^ b[i]);
    __asm__ volatile("" : "+r"(difference)); /* no early end */
    return difference;
}

bool sw_api_keys_accept(const struct sw_api_keys *keys, const char *authorization)
{
    static const char scheme[] = "Bearer ";
    unsigned accepted = 0;
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return false;
    const char *given = authorization + sizeof scheme - 1;
    given += strspn(given, " ");
    const size_t n = strcspn(given, " \t");
    for (size_t i = 0; i < keys->n; i++)
        accepted |= keys_differ(keys->keys[i], given, n) == 0;
    return accepted;
}
