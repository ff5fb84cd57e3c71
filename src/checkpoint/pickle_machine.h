/* The stack machine that torch_pickle.c runs; private to it and pickle_opcodes.c. */
#ifndef SW_CHECKPOINT_PICKLE_MACHINE_H
#define SW_CHECKPOINT_PICKLE_MACHINE_H

#include "checkpoint/torch_pickle.h"

struct sw_pickle_machine {
    struct sw_pickle *pickle;
    const uint8_t *bytes;
    size_t length, at; /* of `bytes`; offset of the next byte */
    struct sw_pickle_array {
        struct sw_pickle_value *items;
        uint32_t count, capacity;
    } stack, memo;
    size_t *marks; /* (n_marks) stack heights */
    size_t n_marks, marks_capacity;
    bool stopped;
};

/* All functions below return SW_EMODEL when bytes, values, marks or memo entries are missing. */

/* Reads the next n bytes. */
enum sw_status sw_pickle_take(struct sw_pickle_machine *m, size_t n, const uint8_t **out);
/* Reads a little-endian unsigned number of n <= 8 bytes. */
enum sw_status sw_pickle_number(struct sw_pickle_machine *m, size_t n, uint64_t *out);

enum sw_status sw_pickle_push(struct sw_pickle_machine *m, struct sw_pickle_value value);
/* The number of values above the last mark. */
size_t sw_pickle_available(const struct sw_pickle_machine *m);
enum sw_status sw_pickle_pop(struct sw_pickle_machine *m, struct sw_pickle_value *out);
/* The top value, which stays on the stack. */
enum sw_status sw_pickle_peek(struct sw_pickle_machine *m, struct sw_pickle_value *out);
/* Pushes a mark. */
enum sw_status sw_pickle_mark(struct sw_pickle_machine *m);
/* Removes the last mark and the values above it, which stay valid at *items until the next push. */
enum sw_status sw_pickle_pop_mark(struct sw_pickle_machine *m, struct sw_pickle_value **items,
                                  size_t *n);

/* Stores the top value in the memo under `index`. */
enum sw_status sw_pickle_remember(struct sw_pickle_machine *m, uint64_t index);
/* Pushes the memo's value of `index`. */
enum sw_status sw_pickle_recall(struct sw_pickle_machine *m, uint64_t index);

typedef enum sw_status sw_pickle_operation(struct sw_pickle_machine *m);
/* What each opcode does; NULL: the opcode is refused. */
extern sw_pickle_operation *const sw_pickle_operations[256];

#endif
