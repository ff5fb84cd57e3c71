/* GPT-2's byte alphabet: each byte has a printable character that stands for it in vocabularies. */
#ifndef SW_TEXT_BYTES_H
#define SW_TEXT_BYTES_H

#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Turns a piece written in the alphabet, valid UTF-8, into its bytes; `out` is emptied first.
 * False (and `out` meaningless) when a character is not of the alphabet.
 */
bool sw_bytes_of_piece(const char *piece, size_t n, struct sw_strbuf *out);
/* The byte of a SentencePiece byte piece "<0x0A>", -1 for any other piece. */
int sw_byte_of_token(const char *piece, size_t n);

#endif
