/*
 * What comes from another rank is checked before it is used: batches, copies and results that are
 * not possible are refused, whichever field is wrong and wherever the bytes end.
 */
#include "engine/wire.h"

#include "unit.h"

static const struct sw_wire_limits limits = {
    .rows = 8, .slots = 3, .context = 20, .vocab = 50, .layers = 6, .hidden = 4};

#define ROWS 5
#define SPANS 2

/* A batch of two spans, five rows of four floats, as a payload; *length bytes of it. */
static char *make_batch(struct sw_batch_body *body, size_t *length)
{
    struct sw_span spans[SPANS] = {{0, 17, 0, 3}, {2, 0, 3, 2}};
    struct sw_row_outputs outputs[SPANS] = {{1, 3, 49, 2}, {1, 1, 0, 0}};
    int32_t ids[ROWS] = {0, 49, 7, 8, 9};
    int32_t memory[SPANS] = {20, 0};
    const struct sw_microbatch batch = {.n_rows = ROWS,
                                        .n_spans = SPANS,
                                        .first = 2,
                                        .spans = spans,
                                        .outputs = outputs,
                                        .ids = ids,
                                        .memory = memory};
    const size_t head = sw_wire_batch_head(ROWS, SPANS);
    *body = (struct sw_batch_body){.n_rows = ROWS, .n_spans = SPANS, .hidden = 4, .first = 2};
    *length = head + (size_t)ROWS * 4 * sizeof(float);
    char *bytes = calloc(1, *length);
    sw_wire_write_batch(&batch, bytes);
    return bytes;
}

static enum sw_status read_batch(const struct sw_batch_body *body, char *bytes, size_t length)
{
    struct sw_microbatch batch;
    const float *hidden;
    return sw_wire_read_batch(body, bytes, length, &limits, &batch, &hidden);
}

static void a_batch_arrives_as_it_was(void)
{
    struct sw_batch_body body;
    struct sw_microbatch batch;
    const float *hidden;
    size_t length;
    char *bytes = make_batch(&body, &length);
    CU_ASSERT_EQUAL(sw_wire_read_batch(&body, bytes, length, &limits, &batch, &hidden), SW_OK);
    CU_ASSERT(batch.n_rows == ROWS && batch.n_spans == SPANS);
    CU_ASSERT(batch.spans[1].slot == 2 && batch.spans[1].row == 3 && batch.outputs[0].next == 49);
    CU_ASSERT(batch.first == 2 && batch.end == 0 && batch.memory[0] == 20);
    CU_ASSERT(batch.ids[1] == 49 && (const char *)hidden == bytes + length - 5 * 4 * 4);
    free(bytes);
}

static void impossible_batches_are_refused(void)
{
    struct sw_batch_body body;
    size_t length;
    for (int i = 0; i < 27; i++) {
        char *bytes = make_batch(&body, &length);
        struct sw_span *spans = (struct sw_span *)(void *)bytes;
        struct sw_row_outputs *outputs = (struct sw_row_outputs *)(void *)(spans + SPANS);
        int32_t *memory = (int32_t *)(void *)(outputs + SPANS), *ids = memory + SPANS;
        switch (i) {
        case 0:
            body.n_rows = 6;
            break;
        case 1:
            body.n_rows = -1;
            break;
        case 2:
            body.n_spans = 0;
            break;
        case 3:
            body.n_spans = INT32_MAX;
            break;
        case 4:
            body.hidden = 3;
            break;
        case 5:
            length -= 4;
            break;
        case 6:
            spans[0].slot = 3;
            break;
        case 7:
            spans[0].slot = -1;
            break;
        case 8:
            spans[0].position = 18;
            break;
        case 9:
            spans[0].position = INT64_MAX;
            break;
        case 10:
            spans[1].row = 2;
            break;
        case 11:
            spans[1].n = 1;
            break; /* a row in no span */
        case 12:
            spans[1].n = INT64_MAX;
            break;
        case 13:
            outputs[0].score_from = -1;
            break;
        case 14:
            outputs[0].score_from = 4;
            break;
        case 15:
            outputs[1].sample_from = 3;
            break;
        case 16:
            outputs[0].next = 50;
            break;
        case 17:
            ids[4] = 50;
            break;
        case 18:
            memory[0] = 21;
            break;
        case 19:
            memory[1] = -1;
            break;
        case 20:
            body.first = 6;
            break;
        case 21:
            body.first = -1;
            break;
        case 22:
            body.end = 7;
            break;
        case 23:
            body.end = 2;
            break;
        case 24:
            outputs[0].hidden_from = 4;
            break;
        case 25:
            outputs[1].hidden_from = -1;
            break;
        default:
            ids[0] = -1;
            break;
        }
        CU_ASSERT_EQUAL(read_batch(&body, bytes, length), SW_EPEER);
        free(bytes);
    }
}

/* Values of two spans, three rows of four floats. */
static void values_arrive_as_they_were_or_not(void)
{
    const struct sw_span good[2] = {{2, 18, 0, 2}, {0, 0, 0, 1}};
    const struct sw_values_body body = {-1, 3, 2};
    _Alignas(8) char bytes[sizeof good + 3 * 4 * sizeof(float)] = {0};
    const struct sw_span *spans;
    const float *data;
    memcpy(bytes, good, sizeof good);
    CU_ASSERT_EQUAL(sw_wire_read_values(&body, bytes, sizeof bytes, &limits, 4, &spans, &data),
                    SW_OK);
    CU_ASSERT(spans[0].slot == 2 && (const char *)data == bytes + sizeof good);
    for (int i = 0; i < 9; i++) {
        struct sw_span bad[2] = {good[0], good[1]};
        struct sw_values_body b = body;
        size_t length = sizeof bytes;
        b.layer = i == 0 ? -2 : i == 1 ? 6 : -1;
        b.n = i == 2 ? 4 : 3;
        b.n_spans = i == 3 ? 0 : i == 4 ? INT32_MIN : 2;
        bad[0].slot = i == 5 ? 3 : 2;
        bad[0].position = i == 6 ? 19 : 18;
        bad[1].n = i == 7 ? INT64_MAX : 1;
        length -= i == 8;
        memcpy(bytes, bad, sizeof bad);
        CU_ASSERT_EQUAL(sw_wire_read_values(&b, bytes, length, &limits, 4, &spans, &data),
                        SW_EPEER);
    }
}

static void impossible_copies_are_refused(void)
{
    static const struct sw_copy_body good = {0, 2, 20}, bad[] = {{0, 0, 5}, {-1, 0, 5}, {0, 3, 5},
                                                                 {0, 1, 0}, {0, 1, 21}, {3, 1, 5}};
    CU_ASSERT_EQUAL(sw_wire_check_copy(&good, &limits), SW_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CU_ASSERT_EQUAL(sw_wire_check_copy(&bad[i], &limits), SW_EPEER);
}

static void results_arrive_as_they_were_and_whole(void)
{
    static const struct sw_alternative top[3] = {{4, -0.5f}, {5, -1.5f}, {6, -2.5f}};
    const struct sw_result sent[2] = {
        {.slot = 2, .position = 19, .id = 49, .logprob = -0.25f, .scored = true, .greedy = true},
        {.slot = 0, .position = 0, .id = 4, .logprob = -0.5f, .n_top = 3, .top = top}};
    struct sw_wire wire = {0};
    struct sw_result r;
    size_t length = 0, at = 0;
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(sw_wire_write_result(&sent[i], &wire, &length), SW_OK);
    CU_ASSERT_EQUAL(sw_wire_read_result(wire.bytes, length, &limits, &at, &r), SW_OK);
    CU_ASSERT(r.slot == 2 && r.position == 19 && r.id == 49 && r.scored && r.greedy && !r.n_top);
    const size_t second = at;
    CU_ASSERT(second <= 24); /* small without alternatives */
    CU_ASSERT_EQUAL(sw_wire_read_result(wire.bytes, length, &limits, &at, &r), SW_OK);
    CU_ASSERT(at == length && r.n_top == 3 && memcmp(r.top, top, sizeof top) == 0 && !r.scored);
    for (size_t cut = second + 1; cut < length; cut++) {
        char *bytes = malloc(cut);
        memcpy(bytes, wire.bytes, cut);
        at = second;
        CU_ASSERT_EQUAL(sw_wire_read_result(bytes, cut, &limits, &at, &r), SW_EPEER);
        free(bytes);
    }
    free(wire.bytes);
}

/* Any bytes: refused or within the limits; the sanitizers see that nothing else is read. */
static void any_bytes_do_no_harm(void)
{
    uint64_t state = 1;
    for (int round = 0; round < 20000; round++) {
        const size_t length = (size_t)round % 100;
        char *bytes = malloc(length + 1);
        for (size_t i = 0; i < length; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (char)(state >> 40 & (round % 3 ? 3 : 255)); /* small numbers, too */
        }
        struct sw_result r;
        for (size_t at = 0; at < length;)
            if (sw_wire_read_result(bytes, length, &limits, &at, &r) != SW_OK)
                break;
            else
                CU_ASSERT(r.slot < 3 && r.position < 20 && r.id < 50 && at <= length);
        free(bytes);
    }
}

SW_UNIT_TESTS({"a batch arrives as it was", a_batch_arrives_as_it_was},
              {"impossible batches are refused", impossible_batches_are_refused},
              {"values arrive as they were, or not", values_arrive_as_they_were_or_not},
              {"impossible copies are refused", impossible_copies_are_refused},
              {"results arrive as they were, and whole", results_arrive_as_they_were_and_whole},
              {"any bytes do no harm", any_bytes_do_no_harm})
