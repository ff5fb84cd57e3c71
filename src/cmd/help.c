/* Owns the text of a verb's --help. */
#include "checkpoint/bnb_export.h"
#include "cmd/options.h"
#include "tensor/format.h"

#include <stdio.h>
#include <string.h>

#define HELP_LEFT 32   /* columns before what options do */
#define HELP_WIDTH 100 /* of lists of words */

/* Columns of UTF-8, of characters of one each. */
static int help_columns(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += (*text & 0xc0) != 0x80;
    return n;
}

static void help_print_option(const struct sw_option *option)
{
    char left[64], known[128];
    snprintf(left, sizeof left, "%c%c%s--%s%s%s", option->letter ? '-' : ' ',
             option->letter ? option->letter : ' ', option->letter ? ", " : "  ", option->name,
             option->argument && option->argument[0] != '[' ? " " : "",
             option->argument ? option->argument : "");
    const int n = help_columns(left);
    const size_t before = strcspn(option->help, "@");
    printf("  %s%*s%.*s", left, n < HELP_LEFT - 2 ? HELP_LEFT - 2 - n : 1, "", (int)before,
           option->help);
    if (option->help[before])
        printf("%s%s", sw_plain_formats(" or ", known, sizeof known), option->help + before + 1);
    printf("\n");
}

/* Prints a word of a list behind others; *at: the column, 0 before the first. */
static void help_print_word(const char *left, const char *word, int *at)
{
    const int n = (int)strlen(word);
    if (*at == 0)
        *at = printf("  %-*s", HELP_LEFT - 2, left);
    else if (*at + 1 + n > HELP_WIDTH)
        *at = printf("\n%*s", HELP_LEFT, "") - 1;
    else
        *at += printf(" ");
    *at += printf("%s", word);
}

/* Where names of --weights come from. Each is in the first row that has it. */
enum family { FAMILY_PLAIN, FAMILY_GGUF, FAMILY_MIX, FAMILY_BNB, FAMILY_OTHER, N_FAMILIES };
static const char *const family_names[N_FAMILIES] = {
    [FAMILY_PLAIN] = "not quantized",
    [FAMILY_GGUF] = "GGUF",
    [FAMILY_MIX] = "llama.cpp's mixes of these",
    [FAMILY_BNB] = "bitsandbytes",
    [FAMILY_OTHER] = "others, as of GPTQ and AWQ",
};

static enum family family_of(const char *name)
{
    enum sw_format_id id;
    if (!sw_format_by_name(name, &id))
        return FAMILY_MIX;
    if (!sw_format_is_quantized(id))
        return FAMILY_PLAIN;
    if (sw_format_of(id)->ggml_type)
        return FAMILY_GGUF;
    for (int i = 0; sw_bnb_format_name(i); i++)
        if (strcmp(sw_bnb_format_name(i), name) == 0)
            return FAMILY_BNB;
    return FAMILY_OTHER;
}

/* The formats and roles that a --weights takes. */
static void help_print_weights(const struct sw_option *option)
{
    const char *word;
    int at = 0;
    printf("\nFormats and roles of weights (docs/formats.md says what they are):\n");
    for (enum family family = 0; family < N_FAMILIES; family++, at = 0) {
        for (int i = 0; (word = sw_option_format(option, i)); i++)
            if (family_of(word) == family)
                help_print_word(family_names[family], word, &at);
        printf("%s", at > 0 ? "\n" : "");
    }
    for (int i = 0; (word = sw_weight_choice_word(i)); i++)
        help_print_word("roles", word, &at);
    printf("\n");
}

void sw_options_help(const struct sw_verb *verb)
{
    const struct sw_option *option, *weights = NULL;
    printf("Usage: spillway %s %s\n\n%s\n\n%s\n\nOptions:\n", verb->name, verb->arguments,
           verb->summary, verb->description);
    for (int i = 0; (option = sw_verb_option(verb, i)); i++) {
        help_print_option(option);
        if (sw_option_has_roles(option))
            weights = option;
    }
    if (weights)
        help_print_weights(weights);
}
