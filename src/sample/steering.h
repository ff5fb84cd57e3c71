/*
 * What a request changes about the choice of its ids: a bias for some ids, and a grammar that the
 * text must follow. Both apply after the repetition penalty and before the temperature, so greedy
 * choices follow them, too; log-probabilities stay those of the model.
 */
#ifndef SW_SAMPLE_STEERING_H
#define SW_SAMPLE_STEERING_H

#include <stddef.h>
#include <stdint.h>

#define SW_BIAS_MAX 1024 /* most ids with a bias in one request */

/* Added to the logit of an id. */
struct sw_bias {
    int32_t id;
    float value; /* -100 to 100 */
};

struct sw_steering {
    const struct sw_bias *bias; /* (n_bias) each id once */
    int n_bias;
    const char *grammar; /* (n_grammar) GBNF, as grammar/grammar.h has it; NULL: none */
    size_t n_grammar;
};

#endif
