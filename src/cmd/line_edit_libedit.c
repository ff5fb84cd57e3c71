/* Owns editing of lines by libedit. */
#include "cmd/line_edit.h"

#include "base/utf8.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS 50 /* how late `give_up` may be noticed */
#define HISTORY 500

struct sw_line_edit {
    EditLine *el;
    History *history;
    const volatile sig_atomic_t *give_up;
    const char *prompt;
    bool is_given_up;
};

static char *edit_prompt(EditLine *el)
{
    struct sw_line_edit *edit = NULL;
    el_get(el, EL_CLIENTDATA, &edit);
    return (char *)(uintptr_t)edit->prompt;
}

/* 1: a byte; 0: the end; -1: given up, or an error. */
static int edit_read_byte(struct sw_line_edit *edit, unsigned char *byte)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    for (;;) {
        if (*edit->give_up) {
            edit->is_given_up = true;
            return -1;
        }
        const int n = poll(&in, 1, LOOK_MS);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n <= 0)
            continue;
        const ssize_t got = read(STDIN_FILENO, byte, 1);
        if (got >= 0 || errno != EINTR)
            return (int)got;
    }
}

/* A character; bytes that are none become U+FFFD. */
static int edit_read_character(EditLine *el, wchar_t *out)
{
    struct sw_line_edit *edit = NULL;
    unsigned char bytes[4];
    size_t n = 0;
    int length = 0;
    el_get(el, EL_CLIENTDATA, &edit);
    while (length == 0) {
        const int got = edit_read_byte(edit, &bytes[n]);
        if (got <= 0)
            return got;
        length = sw_utf8_next(bytes, ++n);
    }
    *out = length > 0 ? (wchar_t)sw_utf8_decode((const char *)bytes, &length) : 0xFFFD;
    return 1;
}

struct sw_line_edit *sw_line_edit_open(const volatile sig_atomic_t *give_up)
{
    HistEvent event;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return NULL;
    struct sw_line_edit *edit = calloc(1, sizeof *edit);
    if (!edit)
        return NULL;
    edit->give_up = give_up;
    setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1)
        setlocale(LC_CTYPE, "C.UTF-8");
    edit->el = el_init("spillway", stdin, stdout, stderr);
    edit->history = history_init();
    if (!edit->el || !edit->history) {
        sw_line_edit_close(edit);
        return NULL;
    }
    history(edit->history, &event, H_SETSIZE, HISTORY);
    history(edit->history, &event, H_SETUNIQUE, 1);
    el_set(edit->el, EL_CLIENTDATA, edit);
    el_set(edit->el, EL_PROMPT, edit_prompt);
    el_set(edit->el, EL_EDITOR, "emacs");
    el_set(edit->el, EL_HIST, history, edit->history);
    el_set(edit->el, EL_GETCFN, edit_read_character);
    el_source(edit->el, NULL); /* the user's ~/.editrc */
    return edit;
}

enum sw_line sw_line_edit_read(struct sw_line_edit *edit, const char *prompt,
                               struct sw_strbuf *line)
{
    HistEvent event;
    int n = 0;
    edit->prompt = prompt;
    edit->is_given_up = false;
    errno = 0;
    const char *text = el_gets(edit->el, &n);
    if (line->text)
        line->text[0] = '\0';
    line->length = 0;
    if (edit->is_given_up) {
        el_reset(edit->el);
        return SW_LINE_INTERRUPTED;
    }
    if (!text || n <= 0)
        return n < 0 && errno ? SW_LINE_FAILED : SW_LINE_END;
    if (n > 1)
        history(edit->history, &event, H_ENTER, text);
    sw_strbuf_append(line, text, (size_t)n - (text[n - 1] == '\n'));
    return line->failed ? SW_LINE_FAILED : SW_LINE_READ;
}

void sw_line_edit_close(struct sw_line_edit *edit)
{
    if (!edit)
        return;
    if (edit->el)
        el_end(edit->el);
    if (edit->history)
        history_end(edit->history);
    free(edit);
}
