/* Owns parsing and printing of sizes, rates and durations. */
#include "base/units.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct unit {
    const char *name;
    double factor;
} size_units[] = {
    {"", 1},       {"B", 1},        {"K", 0x1p10},   {"M", 0x1p20},   {"G", 0x1p30},
    {"T", 0x1p40}, {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40},
    {"KB", 1e3},   {"MB", 1e6},     {"GB", 1e9},     {"TB", 1e12},
};

static const struct unit rate_units[] = {
    {"B/s", 1},        {"KB/s", 1e3},     {"MB/s", 1e6},     {"GB/s", 1e9},     {"TB/s", 1e12},
    {"KiB/s", 0x1p10}, {"MiB/s", 0x1p20}, {"GiB/s", 0x1p30}, {"TiB/s", 0x1p40},
};

static bool units_parse(const char *text, const struct unit *units, size_t n_units, double *value)
{
    char *end;
    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return false;
    const double number = strtod(text, &end);
    while (*end == ' ')
        end++;
    for (size_t i = 0; i < n_units; i++) {
        if (strcasecmp(end, units[i].name) != 0)
            continue;
        *value = number * units[i].factor;
        return isfinite(*value) && *value >= 0;
    }
    return false;
}

enum sw_status sw_size_parse(const char *text, uint64_t *bytes)
{
    double value;
    if (!units_parse(text, size_units, sizeof size_units / sizeof size_units[0], &value) ||
        value >= 0x1p63)
        return sw_fail(SW_EUSAGE, "'%s' is not a size; write 24G, 24GiB, 512M or 24GB (10^9 bytes)",
                       text);
    *bytes = (uint64_t)value;
    return SW_OK;
}

enum sw_status sw_rate_parse(const char *text, double *bytes_per_second)
{
    if (!units_parse(text, rate_units, sizeof rate_units / sizeof rate_units[0],
                     bytes_per_second) ||
        *bytes_per_second <= 0)
        return sw_fail(SW_EUSAGE, "'%s' is not a rate; write 672GB/s or 900MB/s", text);
    return SW_OK;
}

char *sw_size_format(uint64_t bytes, char *out, size_t cap)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t i = 0;
    while (value >= 1024 && i + 1 < sizeof names / sizeof names[0]) {
        value /= 1024;
        i++;
    }
    snprintf(out, cap,
             i == 0 || value >= 100 ? "%.0f %s"
             : value >= 10          ? "%.1f %s"
                                    : "%.2f %s",
             value, names[i]);
    return out;
}

char *sw_seconds_format(double s, char *out, size_t cap)
{
    if (s < 1e-3)
        snprintf(out, cap, "%.0f us", s * 1e6);
    else if (s < 1)
        snprintf(out, cap, s < 0.1 ? "%.1f ms" : "%.0f ms", s * 1e3);
    else if (s < 120)
        snprintf(out, cap, s < 10 ? "%.1f s" : "%.0f s", s);
    else if (s < 7200)
        snprintf(out, cap, "%.0f min", s / 60);
    else
        snprintf(out, cap, "%.0f h %02.0f min", floor(s / 3600), fmod(s, 3600) / 60);
    return out;
}

char *sw_number_format(double value, char *out, size_t cap)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.2e", value);
    const double rounded = strtod(digits, NULL);
    snprintf(out, cap, rounded >= 1000 ? "%.0f" : "%.3g", rounded);
    return out;
}

char *sw_layers_format(int first, int count, char *out, size_t cap)
{
    if (count > 1)
        snprintf(out, cap, "layers %d-%d", first, first + count - 1);
    else if (count == 1)
        snprintf(out, cap, "layer %d", first);
    else
        snprintf(out, cap, "no layers");
    return out;
}
