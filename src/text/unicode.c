/* Owns the tables of what a version of Unicode has and another has not. */
#include "text/unicode.h"

#include <stddef.h>
#include <utf8proc.h>

/*
 * Gaps between the code points that decompose, compose or have a combining class in Unicode 9,
 * those in which later versions (up to 18) have some.
 */
static const struct {
    uint32_t first, last;
} inert[] = {
    {0x04FA, 0x0564},   {0x0588, 0x0590},   {0x05C8, 0x05CF},   {0x07F4, 0x0815},
    {0x085C, 0x08D3},   {0x09E0, 0x0A15},   {0x0BD8, 0x0C45},   {0x0CD7, 0x0D3D},
    {0x0EBA, 0x0EC7},   {0x1715, 0x1733},   {0x1ABE, 0x1B04},   {0x1DF6, 0x1DFA},
    {0x209D, 0x20A7},   {0x32FF, 0x32FF},   {0xA771, 0xA7F7},   {0xA807, 0xA8C3},
    {0xAB60, 0xABEC},   {0x1037B, 0x10A0C}, {0x10AE7, 0x11045}, {0x11047, 0x1107E},
    {0x112EB, 0x1133B}, {0x11375, 0x11441}, {0x11447, 0x114AF}, {0x1172C, 0x11C3E},
    {0x11C40, 0x16AEF}, {0x16B37, 0x1BC9D}, {0x1BC9F, 0x1D156}, {0x1D245, 0x1D3FF},
    {0x1D6A6, 0x1D6A7}, {0x1D800, 0x1DFFF}, {0x1E02B, 0x1E8CF}, {0x1F16C, 0x1F18F},
    {0x1F252, 0x20121},
};

bool sw_unicode_is_inert(uint32_t c)
{
    size_t low = 0, high = sizeof inert / sizeof inert[0];
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (c > inert[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof inert / sizeof inert[0] && c >= inert[low].first;
}

/* Capital letters of Unicode 14 to 17: what to add for the small one. */
static const struct {
    uint32_t first, last;
    int32_t add;
} capitals[] = {
    {0x1C89, 0x1C89, 1},      {0x2C2F, 0x2C2F, 0x30},   {0xA7C0, 0xA7C0, 1},
    {0xA7CB, 0xA7CB, -42343}, {0xA7CC, 0xA7CC, 1},      {0xA7CE, 0xA7CE, 1},
    {0xA7D0, 0xA7D0, 1},      {0xA7D2, 0xA7D2, 1},      {0xA7D4, 0xA7D4, 1},
    {0xA7D6, 0xA7D6, 1},      {0xA7D8, 0xA7D8, 1},      {0xA7DA, 0xA7DA, 1},
    {0xA7DC, 0xA7DC, -42561}, {0x10570, 0x1057A, 0x27}, {0x1057C, 0x1058A, 0x27},
    {0x1058C, 0x10592, 0x27}, {0x10594, 0x10595, 0x27}, {0x10D50, 0x10D65, 0x20},
    {0x16EA0, 0x16EB8, 0x1B},
};

int sw_unicode_lower(uint32_t c, uint32_t lower[2])
{
    if (c == 0x0130) { /* a capital I with a dot above: the small letter, then the dot */
        lower[0] = 'i';
        lower[1] = 0x0307;
        return 2;
    }
    lower[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    for (size_t i = 0; c >= capitals[0].first && i < sizeof capitals / sizeof capitals[0]; i++)
        if (c >= capitals[i].first && c <= capitals[i].last)
            lower[0] = (uint32_t)((int32_t)c + capitals[i].add);
    return 1;
}
