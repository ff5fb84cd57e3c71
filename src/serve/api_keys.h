/* The keys that clients may give. */
#ifndef SW_SERVE_API_KEYS_H
#define SW_SERVE_API_KEYS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define SW_API_KEY_MAX 512 /* bytes of a key */

struct sw_api_keys {
    char **keys; /* (n) */
    size_t n;
};

/* Reads a file with a key a line; blank lines and those that begin with # do not count. SW_EUSAGE:
 * it has none, or one that no header can carry; warns where others may read it. The caller frees.
 */
enum sw_status sw_api_keys_read(const char *path, struct sw_api_keys *out);
void sw_api_keys_free(struct sw_api_keys *keys);
/*
 * Whether the value of a header "Authorization" is "Bearer KEY" with one of the keys; NULL: there
 * is none. The time it takes depends on what was given, not on the keys it is compared with.
 */
bool sw_api_keys_accept(const struct sw_api_keys *keys, const char *authorization);

#endif
