/*
 * SipHash-2-4 with a result of 128 bits (Aumasson, Bernstein 2012). With a secret key nobody can
 * construct collisions; with a known key it is a checksum.
 */
#ifndef SW_BASE_HASH_H
#define SW_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct sw_digest {
    uint64_t low, high;
};

struct sw_hash {
    uint64_t v[4];
    uint64_t tail;   /* the last 0 to 7 bytes, which do not fill a word yet */
    uint64_t length; /* bytes added so far */
};

void sw_hash_begin(struct sw_hash *hash, const uint64_t key[2]);
void sw_hash_add(struct sw_hash *hash, const void *bytes, size_t n);
/* The digest of the bytes added so far; more may be added after it. */
struct sw_digest sw_hash_end(const struct sw_hash *hash);
/* The digest of bytes[0..n). */
struct sw_digest sw_hash_of(const uint64_t key[2], const void *bytes, size_t n);
/* Writes 32 hexadecimal digits and a NUL; returns `out`. */
const char *sw_digest_text(struct sw_digest digest, char out[33]);

#endif
