/*
 * SipHash-2-4 with 128 bits of result (Aumasson, Bernstein 2012): under a secret key nobody can
 * make two texts meet; under a known one it tells files apart.
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
    uint64_t tail; /* up to 7 bytes that wait for their word */
    uint64_t length;
};

void sw_hash_begin(struct sw_hash *hash, const uint64_t key[2]);
void sw_hash_add(struct sw_hash *hash, const void *bytes, size_t n);
/* Of what was added so far; more may follow. */
struct sw_digest sw_hash_end(const struct sw_hash *hash);
struct sw_digest sw_hash_of(const uint64_t key[2], const void *bytes, size_t n);
/* 32 hexadecimal digits and a NUL. */
const char *sw_digest_text(struct sw_digest digest, char out[33]);

#endif
