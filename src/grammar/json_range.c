/* Owns whole numbers between two bounds, as a grammar. */
#include "base/json.h"
#include "grammar/json_schema_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DIGITS 15 /* most digits of a whole number that a grammar has */
#define LARGEST 999999999999999

static void put_alternative(struct sw_strbuf *out, bool *first)
{
    sw_strbuf_puts(out, *first ? "" : " | ");
    *first = false;
}

static bool is_all(const char *digits, size_t n, char digit)
{
    for (size_t i = 0; i < n; i++)
        if (digits[i] != digit)
            return false;
    return true;
}

/* Texts of n digits from `low` to `high`, both of n digits. */
static void put_digits(const char *low, const char *high, size_t n, struct sw_strbuf *out)
{
    char zeros[DIGITS + 1] = {0}, nines[DIGITS + 1] = {0};
    memset(zeros, '0', n);
    memset(nines, '9', n);
    if (n == 0)
        return;
    if (is_all(low, n, '0') && is_all(high, n, '9')) {
        sw_strbuf_printf(out, "[0-9]{%zu} ", n);
        return;
    }
    if (low[0] == high[0]) {
        sw_strbuf_printf(out, "\"%c\" ", low[0]);
        put_digits(low + 1, high + 1, n - 1, out);
        return;
    }
    /* What begins with the first digit of a bound, where not all that does is within it. */
    const bool low_apart = !is_all(low + 1, n - 1, '0'), high_apart = !is_all(high + 1, n - 1, '9');
    const char from = (char)(low[0] + low_apart), to = (char)(high[0] - high_apart);
    bool first = true;
    sw_strbuf_puts(out, "(");
    if (low_apart) {
        put_alternative(out, &first);
        sw_strbuf_printf(out, "\"%c\" ", low[0]);
        put_digits(low + 1, nines + 1, n - 1, out);
    }
    if (from <= to) {
        put_alternative(out, &first);
        sw_strbuf_printf(out, "[%c-%c] ", from, to);
        put_digits(zeros + 1, nines + 1, n - 1, out);
    }
    if (high_apart) {
        put_alternative(out, &first);
        sw_strbuf_printf(out, "\"%c\" ", high[0]);
        put_digits(zeros + 1, high + 1, n - 1, out);
    }
    sw_strbuf_puts(out, ") ");
}

/* Whole numbers from low to high, 0 <= low <= high, without zeros before them. */
static void put_positive(int64_t low, int64_t high, struct sw_strbuf *out)
{
    int64_t begin = 0, end = 9; /* those of n digits */
    bool first = true;
    sw_strbuf_puts(out, "(");
    for (size_t n = 1; n <= DIGITS; n++) {
        char from[24], to[24];
        if (low <= end && high >= begin) {
            put_alternative(out, &first);
            snprintf(from, sizeof from, "%" PRId64, low > begin ? low : begin);
            snprintf(to, sizeof to, "%" PRId64, high < end ? high : end);
            put_digits(from, to, n, out);
        }
        begin = end + 1;
        end = 10 * end + 9;
    }
    sw_strbuf_puts(out, ") ");
}

/* A bound, moved by `by` where it is exclusive; `bound` stays where it is absent or says less. */
static enum sw_status range_bound(const json_t *schema, const char *name, int by, bool is_low,
                                  int64_t *bound)
{
    const json_t *value = json_object_get(schema, name);
    int64_t n;
    if (!value)
        return SW_OK;
    if (!sw_json_integer(value, INT64_MIN + 1, INT64_MAX - 1, &n))
        return sw_fail(SW_EINPUT, "\"%s\" must be a whole number", name);
    n += by;
    if (is_low ? n > *bound : n < *bound)
        *bound = n;
    return SW_OK;
}

bool sw_json_has_range(const json_t *schema)
{
    return json_object_get(schema, "minimum") || json_object_get(schema, "maximum") ||
           json_object_get(schema, "exclusiveMinimum") ||
           json_object_get(schema, "exclusiveMaximum");
}

enum sw_status sw_json_range(const json_t *schema, struct sw_strbuf *out)
{
    int64_t low = -LARGEST, high = LARGEST;
    SW_TRY(range_bound(schema, "minimum", 0, true, &low));
    SW_TRY(range_bound(schema, "exclusiveMinimum", 1, true, &low));
    SW_TRY(range_bound(schema, "maximum", 0, false, &high));
    SW_TRY(range_bound(schema, "exclusiveMaximum", -1, false, &high));
    if (low > high)
        return sw_fail(SW_EINPUT,
                       "no whole number of up to %d digits is within \"minimum\" and "
                       "\"maximum\"",
                       DIGITS);
    sw_strbuf_puts(out, "(");
    if (low < 0) {
        sw_strbuf_puts(out, "\"-\" ");
        put_positive(high < 0 ? -high : 1, -low, out);
    }
    if (high >= 0) {
        sw_strbuf_puts(out, low < 0 ? " | " : "");
        put_positive(low > 0 ? low : 0, high, out);
    }
    sw_strbuf_puts(out, ") ");
    return SW_OK;
}
