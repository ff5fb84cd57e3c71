/* Owns what only the weight files decide about a model: ties, and the stored type. */
#include "checkpoint/fit.h"

#include "checkpoint/checkpoint.h"
#include "checkpoint/source.h"
#include "tensor/format.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)1 << 20)

static bool same_type_and_shape(const struct sw_tensor *a, const struct sw_tensor *b)
{
    return a->dtype == b->dtype && a->blocks == b->blocks && a->rank == b->rank &&
           a->bytes == b->bytes &&
           memcmp(a->shape, b->shape, (size_t)a->rank * sizeof a->shape[0]) == 0;
}

static enum sw_status compare_ranges(const struct sw_source *a, uint64_t a_at,
                                     const struct sw_source *b, uint64_t b_at, uint64_t bytes,
                                     bool *same)
{
    char *one = malloc(CHUNK), *two = malloc(CHUNK);
    enum sw_status status = one && two ? SW_OK : sw_fail(SW_ENOMEM, "no memory to compare");
    for (uint64_t done = 0; status == SW_OK && *same && done < bytes;) {
        const size_t n = bytes - done < CHUNK ? (size_t)(bytes - done) : CHUNK;
        status = sw_source_read(a, a_at + done, one, n);
        if (status == SW_OK)
            status = sw_source_read(b, b_at + done, two, n);
        *same = status == SW_OK && memcmp(one, two, n) == 0;
        done += n;
    }
    free(one);
    free(two);
    return status;
}

/* Whether two tensors of one shape have the same values; tensors that are not contiguous count as
 * different. */
static enum sw_status same_values(const struct sw_tensors *tensors, const struct sw_tensor *a,
                                  const struct sw_tensor *b, bool *same)
{
    struct sw_source one, two;
    *same = true;
    if (a->file == b->file && a->offset == b->offset &&
        memcmp(a->stride, b->stride, (size_t)a->rank * sizeof a->stride[0]) == 0)
        return SW_OK;
    *same = sw_tensor_is_contiguous(a) && sw_tensor_is_contiguous(b);
    if (!*same)
        return SW_OK;
    SW_TRY(sw_source_open(tensors->files[a->file].path, &one));
    enum sw_status status = sw_source_open(tensors->files[b->file].path, &two);
    if (status == SW_OK) {
        status = compare_ranges(&one, a->offset, &two, b->offset, a->bytes, same);
        sw_source_close(&two);
    }
    sw_source_close(&one);
    return status;
}

static enum sw_status decide_tie(struct sw_model *model, const struct sw_tensors *tensors,
                                 bool by_values)
{
    struct sw_dims *d = &model->dims;
    const struct sw_tensor *embed = sw_model_tensor(model, tensors, SW_W_EMBED);
    const struct sw_tensor *head = sw_model_tensor(model, tensors, SW_W_HEAD);
    bool same = true;
    if (!d->tied || !head)
        return SW_OK;
    if (!embed) {
        d->tied_head = true;
        return SW_OK;
    }
    if (!same_type_and_shape(embed, head))
        same = false;
    else if (by_values)
        SW_TRY(same_values(tensors, embed, head, &same));
    if (same)
        return SW_OK;
    d->tied = false;
    return sw_model_warn(model,
                         "%s: config.json says that the head is the embedding, but '%s' is not "
                         "'%s': the file's head is used, as transformers does",
                         tensors->files[head->file].path, head->name, embed->name);
}

enum sw_status sw_checkpoint_fit(struct sw_model *model, const struct sw_tensors *tensors)
{
    SW_TRY(decide_tie(model, tensors, false));
    return sw_model_check(model, tensors);
}

enum sw_status sw_checkpoint_fit_values(struct sw_model *model, const struct sw_tensors *tensors)
{
    SW_TRY(decide_tie(model, tensors, true));
    return sw_model_check(model, tensors);
}

enum sw_status sw_checkpoint_stored(const char *dir, struct sw_model *model)
{
    struct sw_tensors tensors;
    bool there = false;
    if (model->dtype_stated)
        return SW_OK;
    SW_TRY(sw_checkpoint_find(dir, &there));
    if (!there)
        return sw_model_warn(model,
                             "%s: config.json does not say which type the weights are in, "
                             "and there are none: counted as f32",
                             dir);
    SW_TRY(sw_checkpoint_open(dir, &tensors));
    const struct sw_tensor *embed = sw_model_tensor(model, &tensors, SW_W_EMBED);
    if (!embed)
        embed = sw_model_tensor(model, &tensors, SW_W_HEAD);
    if (embed && sw_dtype_info(embed->dtype)->is_float &&
        sw_format_keeping(embed->dtype) != SW_FORMAT_NONE)
        model->dtype = embed->dtype;
    sw_tensors_free(&tensors);
    return SW_OK;
}
