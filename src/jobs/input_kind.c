/* Owns recognising files that hold no JSON lines. */
#include "jobs/input_kind.h"

#include <string.h>

#define LINES 20 /* of which one must be an object */
#define WANTED "a job needs one JSON object per line, in UTF-8"

/* What files of other kinds begin with. */
static const struct magic {
    const char *bytes;
    size_t n;
    const char *what, *advice;
} magics[] = {
    {"\x1F\x8B", 2, "gzip data", "unpack it first, with gunzip"},
    {"\x28\xB5\x2F\xFD", 4, "zstd data", "unpack it first, with unzstd"},
    {"BZh", 3, "bzip2 data", "unpack it first, with bunzip2"},
    {"\xFD"
     "7zXZ",
     5, "xz data", "unpack it first, with unxz"},
    {"PK\x03\x04", 4, "a zip archive", "unpack it first, with unzip"},
    {"PAR1", 4, "a Parquet table",
     "write its rows as JSON lines, as pandas does with orient=\"records\", "
     "lines=True"},
    {"ARROW1", 6, "an Arrow table", "write its rows as JSON lines, as datasets does with to_json"},
    {"SQLite format 3", 15, "an SQLite database", "write its rows as JSON lines"},
    {"\xFF\xFE\0\0", 4, "UTF-32 text", "convert it, with iconv -f UTF-32 -t UTF-8"},
    {"\0\0\xFE\xFF", 4, "UTF-32 text", "convert it, with iconv -f UTF-32 -t UTF-8"},
    {"\xFF\xFE", 2, "UTF-16 text", "convert it, with iconv -f UTF-16 -t UTF-8"},
    {"\xFE\xFF", 2, "UTF-16 text", "convert it, with iconv -f UTF-16 -t UTF-8"},
};

static enum sw_status input_refuse(const char *path, const char *what, const char *advice)
{
    return sw_fail(SW_EINPUT, "%s: looks like %s, but " WANTED "; %s", path, what, advice);
}

static bool is_blank_byte(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The next line that is not blank, without its end and the blanks around it. */
struct line_piece {
    const char *at;
    size_t n;
};

static bool next_piece(const char **at, const char *end, bool whole, struct line_piece *line)
{
    while (*at < end && is_blank_byte(**at))
        (*at)++;
    const char *newline = memchr(*at, '\n', (size_t)(end - *at));
    if (*at == end || (!newline && !whole))
        return false;
    *line = (struct line_piece){*at, (size_t)((newline ? newline : end) - *at)};
    *at = newline ? newline : end;
    while (line->n > 0 && is_blank_byte(line->at[line->n - 1]))
        line->n--;
    return true;
}

/* How often `c` occurs outside of quotes. */
static size_t piece_count(const struct line_piece *line, char c)
{
    size_t n = 0;
    bool quoted = false;
    for (size_t i = 0; i < line->n; i++) {
        quoted ^= line->at[i] == '"';
        n += !quoted && line->at[i] == c;
    }
    return n;
}

/* One value over several lines: a list of objects, or an object that continues on the next line. */
static enum sw_status input_check_one_value(const char *path, const char *at, const char *end,
                                            const struct line_piece *first)
{
    const char *next = at + 1;
    while (next < end && is_blank_byte(*next))
        next++;
    if (*at == '[' && (next == end || *next == '{' || *next == '[' || *next == ']'))
        return input_refuse(path, "one JSON list",
                            "write each item on its own line, with jq -c '.[]'");
    if (*at == '{' && first && memchr("{[,", first->at[first->n - 1], 3))
        return input_refuse(path, "JSON that spans several lines",
                            "write each object on one line, with jq -c .");
    return SW_OK;
}

static enum sw_status input_check_lines(const char *path, const char *at, const char *end,
                                        bool whole)
{
    struct line_piece lines[LINES];
    int n = 0;
    bool binary = false;
    while (n < LINES && next_piece(&at, end, whole, &lines[n])) {
        if (lines[n].at[0] == '{')
            return SW_OK;
        for (size_t i = 0; i < lines[n].n && !binary; i++)
            binary = (unsigned char)lines[n].at[i] < 0x20 && !is_blank_byte(lines[n].at[i]);
        n++;
    }
    for (const char *byte = at; n == 0 && byte < end && !binary; byte++)
        binary = (unsigned char)*byte < 0x20 && !is_blank_byte(*byte);
    if (binary)
        return input_refuse(path, "binary data", "name the file that holds the lines");
    if (n == 0 && *at == '{') /* a first line that is longer than `head` */
        return SW_OK;
    static const char separators[] = ",\t;|";
    for (const char *s = separators; n > 0 && *s; s++) {
        const size_t columns = piece_count(&lines[0], *s);
        if (columns > 0 && (n == 1 || piece_count(&lines[1], *s) == columns))
            return input_refuse(path, *s == '\t' ? "a table (TSV)" : "a table (CSV)",
                                "write its rows as JSON lines, as pandas does with "
                                "orient=\"records\", lines=True");
    }
    return input_refuse(path, "text", "write each line as {\"prompt\": …}");
}

enum sw_status sw_input_kind_check(const char *path, const char *head, size_t n, bool whole)
{
    const char *at = head, *end = head + n;
    struct line_piece first;
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if (n >= magics[i].n && memcmp(head, magics[i].bytes, magics[i].n) == 0)
            return input_refuse(path, magics[i].what, magics[i].advice);
    if (n >= 4 && (head[0] == '\0') != (head[1] == '\0') &&
        (head[0] == '\0') == (head[2] == '\0') && (head[1] == '\0') == (head[3] == '\0'))
        return input_refuse(path, "UTF-16 text without a byte order mark",
                            head[0] ? "convert it, with iconv -f UTF-16LE -t UTF-8"
                                    : "convert it, with iconv -f UTF-16BE -t UTF-8");
    if (n >= 3 && memcmp(head, "\xEF\xBB\xBF", 3) == 0)
        at += 3;
    const char *begin = at;
    while (begin < end && is_blank_byte(*begin))
        begin++;
    if (begin == end)
        return SW_OK;
    const bool has_first = next_piece(&at, end, whole, &first);
    SW_TRY(input_check_one_value(path, begin, end, has_first ? &first : NULL));
    return input_check_lines(path, begin, end, whole);
}
