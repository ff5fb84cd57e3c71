/* The machine that torch_pickle.c runs, as its opcodes see it; for pickle_opcodes.c. */
#ifndef SW_FORMAT_PICKLE_MACHINE_H
#define SW_FORMAT_PICKLE_MACHINE_H

#include "format/torch_pickle.h"

struct sw_pickle_machine {
    struct sw_pickle *pickle;
    const uint8_t *bytes;
    size_t length, at;
    struct sw_pickle_array {
        struct sw_pickle_value *items;
        uint32_t count, capacity;
    } stack, memo;
    size_t *marks; /* stack heights */
    size_t n_marks, marks_capacity;
    bool stopped;
};

/* SW_EMODEL from each of these: the pickle asks for what is not there. */

/* The next n bytes. */
enum sw_status sw_pickle_take(struct sw_pickle_machine *m, size_t n, const uint8_t **out);
/* A little-endian unsigned number of n <= 8 bytes. */
enum sw_status sw_pickle_number(struct sw_pickle_machine *m, size_t n, uint64_t *out);

enum sw_status sw_pickle_push(struct sw_pickle_machine *m, struct sw_pickle_value value);
/* Values above the last mark. */
size_t sw_pickle_available(const struct sw_pickle_machine *m);
enum sw_status sw_pickle_pop(struct sw_pickle_machine *m, struct sw_pickle_value *out);
enum sw_status sw_pickle_peek(struct sw_pickle_machine *m, struct sw_pickle_value *out);
enum sw_status sw_pickle_mark(struct sw_pickle_machine *m);
/* Takes the mark off; the values above it stay at *items until the next push. */
enum sw_status sw_pickle_pop_mark(struct sw_pickle_machine *m, struct sw_pickle_value **items,
                                  size_t *n);

/* The memo: the value on the stack gets a number; and is pushed again. */
enum sw_status sw_pickle_remember(struct sw_pickle_machine *m, uint64_t index);
enum sw_status sw_pickle_recall(struct sw_pickle_machine *m, uint64_t index);

/* By opcode; NULL: refused. */
typedef enum sw_status sw_pickle_operation(struct sw_pickle_machine *m);
extern sw_pickle_operation *const sw_pickle_operations[256];

#endif
