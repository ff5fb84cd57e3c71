/* Owns SipHash-2-4-128. */
#include "base/hash.h"

#include <stdio.h>

static uint64_t hash_rotate(uint64_t x, int b)
{
    return x << b | x >> (64 - b);
}

static void hash_rounds(uint64_t v[4], int n)
{
    for (; n > 0; n--) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = hash_rotate(v[1], 13) ^ v[0];
        v[3] = hash_rotate(v[3], 16) ^ v[2];
        v[0] = hash_rotate(v[0], 32) + v[3];
        v[2] += v[1];
        v[3] = hash_rotate(v[3], 21) ^ v[0];
        v[1] = hash_rotate(v[1], 17) ^ v[2];
        v[2] = hash_rotate(v[2], 32);
    }
}

static void hash_take(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    hash_rounds(v, 2);
    v[0] ^= word;
}

void sw_hash_begin(struct sw_hash *hash, const uint64_t key[2])
{
    *hash = (struct sw_hash){.v = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d ^ 0xee,
                                   key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573}};
}

static uint64_t hash_word(const unsigned char *at)
{
    uint64_t word = 0;
    for (int i = 0; i < 8; i++)
        word |= (uint64_t)at[i] << (8 * i);
    return word;
}

void sw_hash_add(struct sw_hash *hash, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    for (; n > 0 && hash->length % 8 != 0; n--) {
        hash->tail |= (uint64_t)*at++ << (8 * (hash->length++ % 8));
        if (hash->length % 8 == 0) {
            hash_take(hash->v, hash->tail);
            hash->tail = 0;
        }
    }
    for (; n >= 8; n -= 8, at += 8, hash->length += 8)
        hash_take(hash->v, hash_word(at));
    for (; n > 0; n--)
        hash->tail |= (uint64_t)*at++ << (8 * (hash->length++ % 8));
}

struct sw_digest sw_hash_end(const struct sw_hash *hash)
{
    struct sw_digest out;
    uint64_t v[4] = {hash->v[0], hash->v[1], hash->v[2], hash->v[3]};
    hash_take(v, hash->tail | hash->length << 56);
    v[2] ^= 0xee;
    hash_rounds(v, 4);
    out.low = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    hash_rounds(v, 4);
    out.high = v[0] ^ v[1] ^ v[2] ^ v[3];
    return out;
}

struct sw_digest sw_hash_of(const uint64_t key[2], const void *bytes, size_t n)
{
    struct sw_hash hash;
    sw_hash_begin(&hash, key);
    sw_hash_add(&hash, bytes, n);
    return sw_hash_end(&hash);
}

const char *sw_digest_text(struct sw_digest digest, char out[33])
{
    snprintf(out, 33, "%016llx%016llx", (unsigned long long)digest.low,
             (unsigned long long)digest.high);
    return out;
}
