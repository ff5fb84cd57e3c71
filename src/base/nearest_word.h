/* Which known word a mistyped one is most like, for messages. */
#ifndef SW_BASE_NEAREST_WORD_H
#define SW_BASE_NEAREST_WORD_H

/* The edit distance of two short words, of less than 127 bytes; 999 where `b` is longer. */
int sw_word_distance(const char *a, const char *b);

/* The word most like `given` so far: at most three edits away. */
struct sw_nearest {
    const char *given;
    const char *best; /* NULL: none yet */
    int least;
};
static inline struct sw_nearest sw_nearest_to(const char *given)
{
    return (struct sw_nearest){given, 0, 4};
}
/* Considers `word`, which must outlive *nearest. */
void sw_nearest_try(struct sw_nearest *nearest, const char *word);

#endif
