/*
 * Fifth bits of 32 columns. In a file they are four bytes, column by column. In a panel bit i of
 * byte b is that of column 4i + b, so that one shift takes those of a word's nibbles to their
 * places. Included after blocks.h.
 */
#ifndef SW_KERNELS_FIVES_H
#define SW_KERNELS_FIVES_H

/* Of n units of `bytes` bytes, the fifth bits behind `before` others; restore: back again. */
static inline void fives_permute(char *units, int64_t n, int bytes, int before, bool restore)
{
    for (char *at = units + before; n > 0; n--, at += bytes) {
        uint32_t from, to = 0;
        memcpy(&from, at, sizeof from);
        for (int i = 0; i < 8; i++)
            for (int b = 0; b < 4; b++) {
                const int file = 4 * i + b, panel = 8 * b + i;
                to |= (restore ? from >> panel & 1 : from >> file & 1) << (restore ? file : panel);
            }
        memcpy(at, &to, sizeof to);
    }
}

#endif
