/* Small folders of quantized matrices, tensor by tensor, and what is said of damaged ones. */
#ifndef SW_TESTS_PIECES_H
#define SW_TESTS_PIECES_H

#include "checkpoint/open_model.h"
#include "checkpoint/safetensors.h"
#include "helpers.h"

struct piece {
    const char *name;
    enum sw_dtype dtype;
    int rank;
    int64_t shape[4];
    const void *bytes; /* NULL: zeros */
};
#define MOST_PIECES 8

static inline uint64_t piece_bytes(const struct piece *p)
{
    uint64_t n = sw_dtype_info(p->dtype)->bits / 8;
    for (int i = 0; i < p->rank; i++)
        n *= (uint64_t)p->shape[i];
    return n;
}

/* A folder with these tensors; `pieces` end with a name NULL. */
static inline void put_folder(char *dir, const char *quantization, const struct piece *pieces)
{
    struct sw_safetensors_spec specs[MOST_PIECES];
    struct sw_safetensors_writer *writer;
    char path[600], config[512];
    size_t n = 0;
    for (; pieces[n].name; n++) {
        specs[n] =
            (struct sw_safetensors_spec){pieces[n].name, pieces[n].dtype, pieces[n].rank, {0}};
        memcpy(specs[n].shape, pieces[n].shape, sizeof pieces[n].shape);
    }
    snprintf(path, sizeof path, "%s/model.safetensors", new_folder(dir));
    CU_ASSERT_EQUAL_FATAL(sw_safetensors_writer_open(path, specs, n, &writer), SW_OK);
    for (size_t i = 0; i < n; i++) {
        const uint64_t bytes = piece_bytes(&pieces[i]);
        char *zeros = calloc(1, bytes + 1);
        CU_ASSERT_EQUAL(
            sw_safetensors_writer_write(writer, pieces[i].bytes ? pieces[i].bytes : zeros, bytes),
            SW_OK);
        free(zeros);
    }
    CU_ASSERT_EQUAL_FATAL(sw_safetensors_writer_close(writer), SW_OK);
    snprintf(config, sizeof config, "{\"quantization_config\": %s}", quantization);
    put_text(dir, "config.json", config);
}

/* A damaged folder, and what its refusal says. */
struct refusal {
    const char *quantization;
    struct piece pieces[MOST_PIECES];
    const char *message;
};

static inline void expect_refusals(const struct refusal *refusals, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char dir[64];
        struct sw_tensors tensors;
        put_folder(dir, refusals[i].quantization, refusals[i].pieces);
        expect_failure(sw_open_tensors(dir, &tensors), SW_EMODEL, refusals[i].message);
        CU_ASSERT_EQUAL(tensors.count, 0);
        remove_folder(dir);
    }
}

#endif
