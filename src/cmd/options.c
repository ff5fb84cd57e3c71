/* Owns parsing of the command line. The options are tables: of verbs in verb_*.c, of several verbs
 * in option_groups.c. */
#include "cmd/options.h"

#include "base/nearest_word.h"
#include "base/units.h"
#include "probe/measure.h"
#include "tensor/format.h"
#include "text/stop_strings.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(name) offsetof(struct sw_options, name)

struct sw_options sw_options_default(void)
{
    return (struct sw_options){.kv = SW_OTHER,
                               .gpu_memory = UINT64_MAX,
                               .host_memory = UINT64_MAX,
                               .n = 128,
                               .shard = 1u << 30,
                               .top_p = 1,
                               .repetition_penalty = 1,
                               .port = 8080,
                               .listen = "127.0.0.1",
                               .max_connections = 512,
                               .queue = 256,
                               .max_body = 16u << 20,
                               .grace = 20,
                               .request_timeout = 3600};
}

enum sw_status sw_parse_flag(const char *text, void *field)
{
    (void)text;
    *(bool *)field = true;
    return SW_OK;
}

enum sw_status sw_parse_text(const char *text, void *field)
{
    *(const char **)field = text;
    return SW_OK;
}

enum sw_status sw_parse_file(const char *text, void *field)
{
    return *text ? sw_parse_text(text, field) : sw_fail(SW_EUSAGE, "the file's name is empty");
}

enum sw_status sw_parse_output(const char *text, void *field)
{
    return sw_parse_file(text ? text : "-", field);
}

static enum sw_status parse_int(const char *text, long low, int *out)
{
    char *end;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (end == text || *end || errno || value < low || value > INT_MAX)
        return sw_fail(SW_EUSAGE, "'%s' is not a whole number of at least %ld", text, low);
    *out = (int)value;
    return SW_OK;
}

enum sw_status sw_parse_count(const char *text, void *field)
{
    return parse_int(text, 1, field);
}

enum sw_status sw_parse_port(const char *text, void *field)
{
    SW_TRY(parse_int(text, 0, field));
    return *(int *)field <= 65535
               ? SW_OK
               : sw_fail(SW_EUSAGE, "'%s' is not a port, a number from 0 to 65535", text);
}

enum sw_status sw_parse_natural(const char *text, void *field)
{
    return parse_int(text, 0, field);
}

enum sw_status sw_parse_threads(const char *text, void *field)
{
    int n;
    SW_TRY(parse_int(text, 1, &n));
    if (n > SW_CPU_MAX)
        return sw_fail(SW_EUSAGE, "%d threads are too many; at most %d", n, SW_CPU_MAX);
    *(int *)field = n;
    return SW_OK;
}

enum sw_status sw_parse_seed(const char *text, void *field)
{
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end || errno || text[0] == '-')
        return sw_fail(SW_EUSAGE, "'%s' is not a whole number", text);
    *(uint64_t *)field = value;
    return SW_OK;
}

enum sw_status sw_parse_number(const char *text, void *field)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < 0)
        return sw_fail(SW_EUSAGE, "'%s' is not a number of at least 0", text);
    *(double *)field = value;
    return SW_OK;
}

enum sw_status sw_parse_bytes(const char *text, void *field)
{
    return sw_size_parse(text, field);
}

enum sw_status sw_parse_weights(const char *text, void *field)
{
    return sw_weight_choice_parse(text, SW_CHOICE_KEPT, field);
}

enum sw_status sw_parse_file_weights(const char *text, void *field)
{
    return sw_weight_choice_parse(text, SW_CHOICE_FILE, field);
}

enum sw_status sw_parse_kv(const char *text, void *field)
{
    enum sw_format_id format;
    char known[128];
    if (!sw_format_by_name(text, &format) || sw_format_is_quantized(format))
        return sw_fail(SW_EUSAGE, "'%s' is not one of %s", text,
                       sw_plain_formats(", ", known, sizeof known));
    *(enum sw_dtype *)field = sw_format_of(format)->dtype;
    return SW_OK;
}

enum sw_status sw_parse_transport(const char *text, void *field)
{
    if (strcmp(text, "auto") != 0 && strcmp(text, "mpi") != 0)
        return sw_fail(SW_EUSAGE, "'%s' is neither auto nor mpi", text);
    *(bool *)field = strcmp(text, "mpi") == 0;
    return SW_OK;
}

enum sw_status sw_parse_stop(const char *text, void *field)
{
    struct sw_options *o = (struct sw_options *)(void *)((char *)field - FIELD(stop));
    if (o->n_stop == (int)(sizeof o->stop / sizeof o->stop[0]))
        return sw_fail(SW_EUSAGE, "too many stop texts; at most %d", o->n_stop);
    if (strlen(text) == 0 || strlen(text) > SW_STOP_LENGTH_MAX)
        return sw_fail(SW_EUSAGE, "a stop text must have 1 to %d bytes, this has %zu",
                       SW_STOP_LENGTH_MAX, strlen(text));
    o->stop[o->n_stop++] = text;
    return SW_OK;
}

static enum sw_status unknown_option(const struct sw_verb *verb, const char *given)
{
    struct sw_nearest nearest = sw_nearest_to(given);
    const struct sw_option *option;
    for (int i = 0; (option = sw_verb_option(verb, i)); i++)
        sw_nearest_try(&nearest, option->name);
    return sw_fail(SW_EUSAGE, "%s: unknown option '--%s'%s%s%s; see 'spillway %s --help'",
                   verb->name, given, nearest.best ? "; did you mean '--" : "",
                   nearest.best ? nearest.best : "", nearest.best ? "'" : "", verb->name);
}

static const struct sw_option *option_by_name(const struct sw_verb *verb, const char *name,
                                              size_t n)
{
    const struct sw_option *option;
    int i = 0;
    while ((option = sw_verb_option(verb, i)) &&
           (strlen(option->name) != n || strncmp(option->name, name, n) != 0))
        i++;
    return option;
}

static const struct sw_option *option_by_letter(const struct sw_verb *verb, char letter)
{
    const struct sw_option *option;
    int i = 0;
    while ((option = sw_verb_option(verb, i)) && option->letter != letter)
        i++;
    return option;
}

/* Parses argv[*i], an option, and its value if it has one; moves *i past both. */
static enum sw_status options_take(const struct sw_verb *verb, int argc, char **argv, int *i,
                                   struct sw_options *options)
{
    const char *word = argv[*i], *value = NULL;
    const struct sw_option *option;
    ++*i;
    if (word[1] == '-') {
        const char *equals = strchr(word, '=');
        const size_t n = equals ? (size_t)(equals - word) - 2 : strlen(word) - 2;
        option = option_by_name(verb, word + 2, n);
        value = equals ? equals + 1 : NULL;
        if (!option) {
            char given[64];
            snprintf(given, sizeof given, "%.*s", (int)(n < 40 ? n : 40), word + 2);
            return unknown_option(verb, given);
        }
    } else {
        option = option_by_letter(verb, word[1]);
        value = word[2] ? word + 2 : NULL;
        if (!option || (value && !option->argument))
            return sw_fail(SW_EUSAGE, "%s: unknown option '%s'; see 'spillway %s --help'",
                           verb->name, word, verb->name);
    }
    if (value && !option->argument)
        return sw_fail(SW_EUSAGE, "%s: --%s takes no value", verb->name, option->name);
    if (!value && option->argument && option->argument[0] != '[') {
        if (*i >= argc)
            return sw_fail(SW_EUSAGE, "%s: --%s needs a value: %s", verb->name, option->name,
                           option->argument);
        value = argv[(*i)++];
    }
    const enum sw_status status = option->parse(value, (char *)options + option->offset);
    if (status != SW_OK)
        sw_error_context("%s: --%s", verb->name, option->name);
    return status;
}

enum sw_status sw_options_parse(const struct sw_verb *verb, int argc, char **argv,
                                struct sw_call *call)
{
    int kept = 0;
    call->options = sw_options_default();
    for (int i = 0; i < argc;) {
        if (strcmp(argv[i], "--") == 0) {
            for (i++; i < argc; i++)
                argv[kept++] = argv[i];
        } else if (argv[i][0] == '-' && argv[i][1]) {
            SW_TRY(options_take(verb, argc, argv, &i, &call->options));
        } else {
            argv[kept++] = argv[i++];
        }
    }
    call->arguments = (const char *const *)argv;
    call->n_arguments = kept;
    if (call->options.help)
        return SW_OK;
    if (kept < verb->min_arguments)
        return sw_fail(SW_EUSAGE, "%s: expected %s; see 'spillway %s --help'", verb->name,
                       verb->arguments, verb->name);
    if (kept > verb->max_arguments)
        return sw_fail(SW_EUSAGE, "%s: '%s' is one argument too many: it takes %s%s", verb->name,
                       argv[verb->max_arguments], verb->arguments,
                       strstr(verb->arguments, "PROMPT") ? "; quote a prompt that has spaces" : "");
    return SW_OK;
}
