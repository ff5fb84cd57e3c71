/*
 * A request for text: from its body to the answer. It has prompts and continues each one `n` times;
 * each of these is a choice, and a request to the scheduler. The HTTP thread reads it, the
 * scheduler's thread does everything else.
 */
#ifndef SW_SERVE_GENERATION_H
#define SW_SERVE_GENERATION_H

#include "engine/scheduler.h"
#include "jobs/answer_logprobs.h"
#include "jobs/request.h"
#include "serve/exchange.h"
#include "session/completion.h"
#include "text/chat.h"

#include <jansson.h>
#include <stdint.h>

#define SW_GENERATION_CHOICES_MAX 2048

/* What requests are read and run by; the same for all. */
struct sw_generation_rules {
    struct sw_tokenizer *tokenizer; /* NULL: prompts must be ids */
    const struct sw_chat *chat;     /* NULL: there are no chats */
    const char *no_chat;            /* why */
    const char *model;              /* its name in answers */
    int vocab;                      /* ids of prompts are below it */
    int context;                    /* positions of a sequence */
    bool has_encoder;               /* prompts are sources */
    double timeout_s;               /* most seconds a request may take; 0: any */
};

struct sw_choice {
    struct sw_generation *g;
    int index;
    uint64_t handle;
    struct sw_completion completion;
    struct sw_answer_logprobs logprobs; /* of what was not sent yet */
    size_t sent;                        /* bytes of the text that were sent */
    bool is_begun;                      /* of a stream: its first event was sent */
};

/* A prompt; with echo, what the answer begins with. */
struct sw_prompt {
    struct sw_ids ids;
    struct sw_strbuf text;
};

struct sw_server;

struct sw_generation {
    struct sw_server *server; /* set by it */
    const struct sw_generation_rules *rules;
    struct sw_generation *next, **from; /* in a list of the server's */
    struct sw_exchange *x;
    json_t *root; /* which `request` borrows from */
    struct sw_line_request request;
    struct sw_strbuf grammar; /* that the answers follow; empty: none */
    char id[48];              /* "cmpl-…" */
    int64_t created;
    struct sw_prompt *prompts; /* (n_prompts) */
    int n_prompts, n_choices;
    struct sw_choice *choices; /* (n_choices) a prompt's one after the other */
    int n_left;                /* choices that are not done */
    double begun;              /* sw_clock when it was read */
    int error;                 /* status of HTTP; 0: all is well */
    char message[SW_ERROR_MAX];
    char param[64]; /* the member at fault; "": none */
};

/*
 * Reads the body of the exchange, of which it keeps a reference. SW_EINPUT when the request is at
 * fault; param (64) is then the member, or "". On failure *out is NULL.
 */
enum sw_status sw_generation_read(const struct sw_generation_rules *rules, enum sw_form form,
                                  struct sw_exchange *x, struct sw_generation **out,
                                  char param[64]);
/* Submits its choices. When it cannot run, it has an error and is over: *over is true. */
void sw_generation_begin(struct sw_generation *g, struct sw_scheduler *scheduler, bool *over);
/*
 * Cancels what is left, for a client that is gone (error 0), or with an error for the client. It
 * ends in the next step.
 */
void sw_generation_cancel(struct sw_generation *g, struct sw_scheduler *scheduler, int error,
                          const char *message);
/* Makes the error its answer, unless it has one: the scheduler is not run any more. */
void sw_generation_fail(struct sw_generation *g, int error, const char *message);
/* Writes the end of the answer, or the error. */
void sw_generation_answer(struct sw_generation *g);
void sw_generation_free(struct sw_generation *g);

/* Of the server: called when the last choice is done; answers, and frees g. */
void sw_server_ended(struct sw_generation *g);

/* reply.c: the answer of a finished request, not streamed. */
void sw_reply_whole(struct sw_generation *g);
/* reply.c: sends what is new of the choice's text; `last`: with the reason of its end. */
void sw_reply_event(struct sw_choice *c, bool last);
/* reply.c: the end of a stream: usage, if wanted, or an error. */
void sw_reply_end(struct sw_generation *g);

#endif
