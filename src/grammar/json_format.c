/* Owns the formats of texts that a schema can name: what stands between the quotation marks. */
#include "grammar/json_schema_impl.h"

#include <string.h>

/* RFC 3339: months have their days, and only leap years a 29th of February; no leap seconds. */
#define DATE                                                                                       \
    "([0-9]{4} \"-\" ((\"0\" [13578] | \"10\" | \"12\") \"-\" (\"0\" [1-9] | [12] [0-9] | "        \
    "\"3\" [01]) | (\"0\" [469] | \"11\") \"-\" (\"0\" [1-9] | [12] [0-9] | \"30\") | \"02-\" "    \
    "(\"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8])) | ([0-9]{2} (\"0\" [48] | [2468] [048] | "         \
    "[13579] [26]) | ([02468] [048] | [13579] [26]) \"00\") \"-02-29\") "
#define TIME                                                                                       \
    "(([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" [0-9]{1,9})? (\"Z\" "  \
    "| [+\\-] ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9])) "

static const struct {
    const char *name, *text;
} formats[] = {{"date", DATE},
               {"time", TIME},
               {"date-time", DATE "\"T\" " TIME},
               {"uuid", "([0-9a-fA-F]{8} \"-\" ([0-9a-fA-F]{4} \"-\"){3} [0-9a-fA-F]{12}) "}};

enum sw_status sw_json_format(const char *name, struct sw_strbuf *out)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(formats[i].name, name) == 0) {
            sw_strbuf_puts(out, formats[i].text);
            return SW_OK;
        }
    return sw_fail(SW_EINPUT,
                   "\"format\": \"%.40s\" is not supported; date, time, date-time and uuid are",
                   name);
}
