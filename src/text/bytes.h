/* GPT-2's byte alphabet: vocabularies write each byte as a printable character. */
#ifndef SW_TEXT_BYTES_H
#define SW_TEXT_BYTES_H

#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Converts a piece in the alphabet, valid UTF-8, to its bytes; `out` is emptied first. False, with
 * `out` undefined, when a character is not in the alphabet.
 */
bool sw_bytes_of_piece(const char *piece, size_t n, struct sw_strbuf *out);
/* The other way round: appends bytes, which may be any, in the alphabet. */
void sw_piece_of_bytes(const char *bytes, size_t n, struct sw_strbuf *out);
/* The byte of a SentencePiece byte piece "<0x0A>", -1 for any other piece. */
int sw_byte_of_token(const char *piece, size_t n);

#endif
