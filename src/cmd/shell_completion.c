/*
 * Owns the scripts by which shells complete our command line. All that they know is written out
 * from the tables of verbs and options, so that pressing tab starts no program.
 */
#include "cmd/shell_completion.h"

#include "cmd/options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* What an option takes. */
enum takes { TAKES_NOTHING, TAKES_WORDS, TAKES_FILE, TAKES_OTHER };

static enum takes option_takes(const struct sw_option *o)
{
    if (!o->argument)
        return TAKES_NOTHING;
    if (o->parse == sw_parse_file || o->parse == sw_parse_output || strstr(o->argument, "FILE"))
        return TAKES_FILE;
    return sw_option_format(o, 0) || islower((unsigned char)o->argument[0]) ? TAKES_WORDS
                                                                            : TAKES_OTHER;
}

/* The words that an option takes, with spaces between them. */
static void print_words(const struct sw_option *o)
{
    const char *word;
    for (int i = 0; (word = sw_option_format(o, i)); i++)
        printf("%s%s", i ? " " : "", word);
    if (!sw_option_format(o, 0))
        for (const char *c = o->argument; *c; c++)
            putchar(*c == '|' ? ' ' : *c);
}

/* A text inside single quotes of a shell, `special` characters behind a backslash. Where a help
 * names formats ('@'), they are left out. */
static void print_quoted(const char *text, const char *special, const char *quote)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs(quote, stdout);
        else if (*text == '@')
            fputs("FORMAT", stdout);
        else
            printf("%s%c", strchr(special, *text) ? "\\" : "", *text);
    }
}

/* Calls `print` with each option of a verb. */
static void each_option(const struct sw_verb *verb,
                        void (*print)(const struct sw_verb *, const struct sw_option *))
{
    const struct sw_option *o;
    for (int i = 0; (o = sw_verb_option(verb, i)); i++)
        print(verb, o);
}

static void print_verbs(void)
{
    const struct sw_verb *verb;
    for (int i = 0; (verb = sw_verb_row(i)); i++)
        printf("%s%s", i ? " " : "", verb->name);
}

/* bash */

static void bash_name(const struct sw_verb *verb, const struct sw_option *o)
{
    (void)verb;
    printf(" --%s", o->name);
}

static void bash_value(const struct sw_verb *verb, const struct sw_option *o)
{
    const enum takes takes = option_takes(o);
    if (takes == TAKES_NOTHING || o->argument[0] == '[')
        return;
    printf("    %s,--%s", verb->name, o->name);
    if (o->letter)
        printf(" | %s,-%c", verb->name, o->letter);
    if (takes == TAKES_WORDS) {
        printf(") words='");
        print_words(o);
        printf("' ;;\n");
    } else {
        printf(") %s ;;\n", takes == TAKES_FILE ? "files=yes" : "return");
    }
}

static void bash_script(void)
{
    const struct sw_verb *verb;
    printf("# shellcheck shell=bash\n"
           "# Completion of spillway in bash, made by `spillway --completion bash`.\n"
           "_spillway() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
           "    local words='' files='' verb=${COMP_WORDS[1]} options=''\n"
           "    COMPREPLY=()\n"
           "    # --kv=f is three words to bash\n"
           "    if [ \"$word\" = = ]; then\n"
           "        word=''\n"
           "    elif [ \"$before\" = = ]; then\n"
           "        before=${COMP_WORDS[COMP_CWORD - 2]}\n"
           "    fi\n"
           "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -W '");
    print_verbs();
    printf(" help --help --version --completion' -- \"$word\")\n"
           "        return\n"
           "    fi\n"
           "    case $verb in\n"
           "    help) words='");
    print_verbs();
    printf("' ;;\n"
           "    --completion) words='bash zsh fish' ;;\n"
           "    -*) return ;;\n");
    for (int i = 0; (verb = sw_verb_row(i)); i++) {
        printf("    %s) options='", verb->name);
        each_option(verb, bash_name);
        printf("' ;;\n");
    }
    printf("    esac\n"
           "    case $verb,$before in\n");
    for (int i = 0; (verb = sw_verb_row(i)); i++)
        each_option(verb, bash_value);
    printf("    *) [[ $word == -* ]] && words=$options || files=yes ;;\n"
           "    esac\n"
           "    if [ -n \"$words\" ]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
           "    elif [ -n \"$files\" ]; then\n"
           "        compopt -o filenames 2>/dev/null\n"
           "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
           "    fi\n"
           "}\n"
           "complete -F _spillway spillway\n");
}

/* zsh */

static void zsh_option(const struct sw_verb *verb, const struct sw_option *o)
{
    const enum takes takes = option_takes(o);
    (void)verb;
    /* a stop text may be given more than once */
    const char *once = o->parse == sw_parse_stop ? "*" : "";
    for (int form = o->letter ? 0 : 1; form < 2; form++) {
        printf("            '%s", once);
        if (o->letter && !*once)
            printf("(-%c --%s)", o->letter, o->name);
        if (form == 0)
            printf("-%c%s", o->letter, takes == TAKES_NOTHING ? "" : "+");
        else
            printf("--%s%s", o->name,
                   takes == TAKES_NOTHING  ? ""
                   : o->argument[0] == '[' ? "=-"
                                           : "=");
        printf("[");
        print_quoted(o->help, "[]\\", "'\\''");
        printf("]");
        if (takes != TAKES_NOTHING) {
            printf("%s", o->argument[0] == '[' ? "::file" : ":");
            if (o->argument[0] != '[')
                print_quoted(o->argument, ":\\", "'\\''");
            printf(":");
            if (takes == TAKES_WORDS) {
                printf("(");
                print_words(o);
                printf(")");
            } else if (takes == TAKES_FILE) {
                printf("_files");
            }
        }
        printf("' \\\n");
    }
}

static void zsh_script(void)
{
    const struct sw_verb *verb;
    printf("#compdef spillway\n"
           "# Completion of spillway in zsh, made by `spillway --completion zsh`.\n"
           "_spillway() {\n"
           "    local verb=$words[2]\n"
           "    local -a verbs=(\n");
    for (int i = 0; (verb = sw_verb_row(i)); i++) {
        printf("        '%s:", verb->name);
        print_quoted(verb->summary, ":\\", "'\\''");
        printf("'\n");
    }
    printf("    )\n"
           "    if ((CURRENT == 2)); then\n"
           "        [[ $verb == -* ]] && compadd -- --help --version --completion && return\n"
           "        _describe -t verbs verb verbs\n"
           "        compadd -- help\n"
           "        return\n"
           "    fi\n"
           "    shift words\n"
           "    ((CURRENT--))\n"
           "    case $verb in\n"
           "    help) _describe -t verbs verb verbs ;;\n"
           "    --completion) compadd -- bash zsh fish ;;\n");
    for (int i = 0; (verb = sw_verb_row(i)); i++) {
        printf("    %s)\n        _arguments -s -S \\\n", verb->name);
        each_option(verb, zsh_option);
        printf("            '*:file:_files'\n        ;;\n");
    }
    /* as a file of $fpath it is the function itself; sourced it says what it is for */
    printf("    esac\n"
           "}\n"
           "if [[ $funcstack[1] == _spillway ]]; then\n"
           "    _spillway \"$@\"\n"
           "else\n"
           "    compdef _spillway spillway\n"
           "fi\n");
}

/* fish */

static void fish_option(const struct sw_verb *verb, const struct sw_option *o)
{
    const enum takes takes = option_takes(o);
    printf("complete -c spillway -n '__spillway_verb %s' -l %s", verb->name, o->name);
    if (o->letter)
        printf(" -s %c", o->letter);
    if (takes == TAKES_WORDS) {
        printf(" -x -a '");
        print_words(o);
        printf("'");
    } else if (takes != TAKES_NOTHING && o->argument[0] != '[') {
        printf(takes == TAKES_FILE ? " -r -F" : " -x");
    }
    printf(" -d '");
    print_quoted(o->help, "\\", "\\'");
    printf("'\n");
}

static void fish_script(void)
{
    const struct sw_verb *verb;
    printf("# Completion of spillway in fish, made by `spillway --completion fish`.\n"
           "function __spillway_verb\n"
           "    set -l words (commandline -opc)\n"
           "    test (count $words) -ge 2; and test $words[2] = $argv[1]\n"
           "end\n"
           "function __spillway_none\n"
           "    test (count (commandline -opc)) -lt 2\n"
           "end\n");
    for (int i = 0; (verb = sw_verb_row(i)); i++) {
        printf("complete -c spillway -n __spillway_none -f -a %s -d '", verb->name);
        print_quoted(verb->summary, "\\", "\\'");
        printf("'\n");
    }
    printf("complete -c spillway -n __spillway_none -f -a help -d 'describe a verb'\n"
           "complete -c spillway -n __spillway_none -f -l help -d 'list the verbs'\n"
           "complete -c spillway -n __spillway_none -f -l version -d 'print what is built in'\n"
           "complete -c spillway -n __spillway_none -x -l completion -a 'bash zsh fish' -d 'print "
           "such a script'\n"
           "complete -c spillway -n '__spillway_verb help' -f -a '");
    print_verbs();
    printf("'\n");
    for (int i = 0; (verb = sw_verb_row(i)); i++)
        each_option(verb, fish_option);
}

static const struct {
    const char *name;
    void (*print)(void);
} shells[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};

enum sw_status sw_shell_completion_print(const char *shell)
{
    for (size_t i = 0; shell && i < sizeof shells / sizeof shells[0]; i++)
        if (strcmp(shells[i].name, shell) == 0) {
            shells[i].print();
            return SW_OK;
        }
    return sw_fail(SW_EUSAGE, "--completion: '%s' is not one of bash, zsh and fish",
                   shell ? shell : "");
}
