/* Reads one tensor of a file of tests/tensor/data. */
#ifndef SW_TESTS_FIXTURE_PART_H
#define SW_TESTS_FIXTURE_PART_H

#include "checkpoint/checkpoint.h"
#include "checkpoint/reader.h"
#include "unit.h"

/* Its bytes; the caller frees. */
static inline void *fixture_part(const char *file, const char *name)
{
    struct sw_tensors tensors = {0};
    struct sw_reader *reader;
    char path[512];
    snprintf(path, sizeof path, "%s/tests/tensor/data/%s", SW_SOURCE_DIR, file);
    CU_ASSERT_EQUAL_FATAL(sw_checkpoint_add_file(path, &tensors), SW_OK);
    const struct sw_tensor *tensor = sw_tensors_find(&tensors, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tensor);
    void *data = malloc(tensor->bytes);
    CU_ASSERT_EQUAL_FATAL(sw_reader_open(&tensors, &reader), SW_OK);
    CU_ASSERT_EQUAL(sw_reader_rows(reader, tensor, 0, tensor->shape[0], data), SW_OK);
    sw_reader_close(reader);
    sw_tensors_free(&tensors);
    return data;
}

#endif
