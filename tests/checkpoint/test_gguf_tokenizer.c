/* Tokenizers in GGUF files: published vocabularies against the ids of the models' own tokenizers
 * (skipped where the files are not at hand), and what is refused. */
#include "base/json.h"
#include "checkpoint/gguf_tokenizer.h"
#include "gguf_in_memory.h"

#define SPACE "\xE2\x96\x81"

/* ---- published vocabularies */

static bool open_tokenizer(const char *file, struct sw_tokenizer **out)
{
    const char *path = sw_unit_shared(file);
    struct sw_source source;
    struct sw_gguf gguf;
    if (!path)
        return false;
    CU_ASSERT_EQUAL_FATAL(sw_source_open(path, &source), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_gguf_read(&source, &gguf), SW_OK);
    const enum sw_status status = sw_gguf_tokenizer(&gguf, path, out);
    if (status != SW_OK)
        printf("    %s\n", sw_error_message());
    CU_ASSERT_EQUAL_FATAL(status, SW_OK);
    sw_gguf_free(&gguf);
    sw_source_close(&source);
    return true;
}

/* Whether the text has these ids, written " 1 22 333". */
static bool has_ids(struct sw_tokenizer *tok, const char *text, size_t n, const char *expected)
{
    struct sw_ids ids = {0};
    bool same = sw_tokenizer_encode(tok, text, n, 0, &ids) == SW_OK;
    for (size_t i = 0; same && i < ids.count; i++) {
        char *end;
        same = strtol(expected, &end, 10) == ids.items[i] && end > expected;
        expected = end;
    }
    same = same && strspn(expected, " ") == strlen(expected);
    sw_ids_free(&ids);
    return same;
}

/* NAME.inp has texts between separators, NAME.out a line of ids for each. */
static void compare_texts(const char *name)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    char file[256];
    struct sw_tokenizer *tok;
    int n_texts = 0, wrong = 0;
    size_t n_in, n_out;
    snprintf(file, sizeof file, "llama.cpp/ggml-vocab-%s.gguf", name);
    if (!open_tokenizer(file, &tok))
        return;
    snprintf(file, sizeof file, "llama.cpp/ggml-vocab-%s.gguf.inp", name);
    char *in = get_file(sw_unit_shared(file), &n_in);
    snprintf(file, sizeof file, "llama.cpp/ggml-vocab-%s.gguf.out", name);
    char *out = get_file(sw_unit_shared(file), &n_out), *line = out;
    for (char *text = in; text < in + n_in && line < out + n_out; n_texts++) {
        char *end = memmem(text, (size_t)(in + n_in - text), separator, sizeof separator - 1);
        char *newline = memchr(line, '\n', (size_t)(out + n_out - line));
        if (!end || !newline)
            break;
        *newline = '\0';
        if (!has_ids(tok, text, (size_t)(end - text), line) && wrong++ < 5)
            printf("    %s: \"%.*s\" is not%s\n", name, (int)(end - text), text, line);
        text = end + sizeof separator - 1;
        line = newline + 1;
    }
    printf("    %s: %d texts\n", name, n_texts);
    CU_ASSERT(n_texts > 40);
    CU_ASSERT_EQUAL(wrong, 0);
    free(in);
    free(out);
    sw_tokenizer_close(tok);
}

static void encodes_as_the_models(void)
{
    compare_texts("gpt-2");
    compare_texts("mpt");
    compare_texts("starcoder");
    compare_texts("falcon");
    compare_texts("llama-spm");
}

/* Lines {"text", "ids"}, made with the model's own tokenizer. */
static void compare_lines(const char *vocabulary, const char *lines)
{
    struct sw_tokenizer *tok;
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    int n_lines = 0, wrong = 0;
    if (!open_tokenizer(vocabulary, &tok))
        return;
    FILE *f = fopen(sw_unit_shared(lines), "r");
    while (f && (n = getline(&line, &capacity, f)) > 0) {
        char expected[1 << 16] = "";
        size_t at = 0, i;
        json_t *record, *id;
        CU_ASSERT_EQUAL_FATAL(sw_json_read(line, (size_t)n, SW_JSON_LINE, &record), SW_OK);
        const json_t *text = json_object_get(record, "text");
        json_array_foreach(json_object_get(record, "ids"), i, id) at += (size_t)snprintf(
            expected + at, sizeof expected - at, " %d", (int)json_integer_value(id));
        if (!has_ids(tok, json_string_value(text), json_string_length(text), expected) &&
            wrong++ < 5)
            printf("    %s: %s", vocabulary, line);
        n_lines++;
        json_decref(record);
    }
    printf("    %s: %d lines\n", vocabulary, n_lines);
    CU_ASSERT(n_lines > 50);
    CU_ASSERT_EQUAL(wrong, 0);
    free(line);
    if (f)
        fclose(f);
    sw_tokenizer_close(tok);
}

static void encodes_hard_texts(void)
{
    compare_lines("llama.cpp/ggml-vocab-gpt-2.gguf", "tokenizer-expected/gpt2_bpe.jsonl");
    compare_lines("llama.cpp/ggml-vocab-llama-spm.gguf", "tokenizer-expected/llama2_spm.jsonl");
    compare_lines("llama.cpp/ggml-vocab-gpt-neox.gguf", "tokenizer-expected/gpt_neox_bpe.jsonl");
}

/* ---- small ones */

static void add_string(struct gguf_file *f, const char *key, const char *text)
{
    add_text(f, key);
    add_number(f, SW_GGUF_STRING, 4);
    add_text(f, text);
}

static void add_strings(struct gguf_file *f, const char *key, const char *const *texts)
{
    uint64_t n = 0;
    while (texts[n])
        n++;
    add_array(f, key, SW_GGUF_STRING, n);
    for (uint64_t i = 0; i < n; i++)
        add_text(f, texts[i]);
}

static void add_types(struct gguf_file *f, int n, const int *types)
{
    add_array(f, "tokenizer.ggml.token_type", SW_GGUF_I32, (uint64_t)n);
    for (int i = 0; i < n; i++)
        add_number(f, (uint64_t)types[i], 4);
}

static enum sw_status make_tokenizer(const struct gguf_file *f, struct sw_tokenizer **out)
{
    struct sw_gguf gguf;
    CU_ASSERT_EQUAL_FATAL(read_file(f, &gguf), SW_OK);
    const enum sw_status status = sw_gguf_tokenizer(&gguf, "m.gguf", out);
    sw_gguf_free(&gguf);
    return status;
}

#define N_SMALL 5
static struct gguf_file small_file(const char *model, const char *pre, int n_types, int more)
{
    struct gguf_file f = begin_file(3, 0, (uint64_t)(N_SMALL + more));
    add_string(&f, "tokenizer.ggml.model", model);
    add_string(&f, "tokenizer.ggml.pre", pre);
    add_strings(&f, "tokenizer.ggml.tokens",
                (const char *[]){"a", "b", "ab", "\xC4\xA0", "<|im_end|>", "  ", "[PAD]", NULL});
    add_types(&f, n_types, (int[]){1, 1, 1, 1, 3, 4, 5});
    add_strings(&f, "tokenizer.ggml.merges", (const char *[]){"a b", NULL});
    return f;
}

static void reads_kinds_of_pieces(void)
{
    struct sw_tokenizer *tok;
    struct gguf_file f = small_file("gpt2", "gpt-2", 7, 3);
    add_value(&f, "tokenizer.ggml.eos_token_id", SW_GGUF_U32, 4, 4);
    add_value(&f, "tokenizer.ggml.bos_token_id", SW_GGUF_U32, 0, 4);
    add_value(&f, "tokenizer.ggml.add_bos_token", SW_GGUF_BOOL, 1, 1);
    CU_ASSERT_EQUAL_FATAL(make_tokenizer(&f, &tok), SW_OK);
    CU_ASSERT(has_ids(tok, "ab", 2, " 2"));
    CU_ASSERT(has_ids(tok, "ab  a", 5, " 2 5 0"));         /* the user's own piece */
    CU_ASSERT_FALSE(has_ids(tok, "<|im_end|>", 10, " 4")); /* special: not of a text … */
    CU_ASSERT(sw_tokenizer_is_special(tok, 4) && sw_tokenizer_is_end(tok, 4));
    CU_ASSERT(!sw_tokenizer_is_special(tok, 5) && sw_tokenizer_eos(tok) == 4);
    struct sw_ids ids = {0};
    CU_ASSERT_EQUAL(sw_tokenizer_encode(tok, "a<|im_end|>", 11,
                                        SW_ENCODE_ADD_SPECIAL | SW_ENCODE_PARSE_SPECIAL, &ids),
                    SW_OK);
    CU_ASSERT(ids.count == 3 && ids.items[0] == 0 && ids.items[1] == 0 && ids.items[2] == 4);
    sw_ids_free(&ids);
    sw_tokenizer_close(tok);
}

/* Gemma 4's: merges of whole texts, a piece of its own for a space, bytes for the rest. */
static void merges_whole_texts(void)
{
    struct sw_tokenizer *tok;
    struct gguf_file f = begin_file(3, 0, 6);
    add_string(&f, "tokenizer.ggml.model", "gemma4");
    add_strings(&f, "tokenizer.ggml.tokens",
                (const char *[]){"<pad>", "<turn|>", "<unk>", SPACE, "a", "b", SPACE "a", "ab",
                                 SPACE "ab", "\n", "\n\n", "<0xC3>", "<0xA4>", SPACE SPACE, NULL});
    add_types(&f, 14, (int[]){3, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 6, 6, 1});
    add_strings(&f, "tokenizer.ggml.merges",
                (const char *[]){SPACE " " SPACE, "\n \n", SPACE " a", "a b", SPACE " ab",
                                 SPACE "a b", NULL});
    add_value(&f, "tokenizer.ggml.eos_token_id", SW_GGUF_U32, 0, 4);
    add_value(&f, "tokenizer.ggml.unknown_token_id", SW_GGUF_U32, 2, 4);
    CU_ASSERT_EQUAL_FATAL(make_tokenizer(&f, &tok), SW_OK);
    CU_ASSERT(has_ids(tok, "ab ab", 5, " 7 8"));
    CU_ASSERT(has_ids(tok, "b  a\n\n\nab", 9, " 5 13 4 10 9 7"));
    CU_ASSERT(has_ids(tok, "a\xC3\xA4x", 4, " 4 11 12 2"));
    CU_ASSERT(sw_tokenizer_is_end(tok, 0) && sw_tokenizer_is_end(tok, 1));
    sw_tokenizer_close(tok);
}

/* ---- Unigram */

#define N_UNIGRAM 16
static const char *const unigram_pieces[N_UNIGRAM + 1] = {
    "<pad>",    "</s>", "<unk>", SPACE, SPACE "a", "b",   "ab", "ba",
    SPACE "ab", "c",    "!",     "!!",  "abc",     "<x>", "z",  "a"};
static const float unigram_scores[N_UNIGRAM] = {0,      0,  0,  -3, -2,     -3.5f, -4.25f, -4,
                                                -5.75f, -5, -2, -4, -9.75f, 0,     -1,     -3};
static const int unigram_types[N_UNIGRAM] = {3, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 5, 1};

/* SentencePiece's map of one entry: "Q" becomes "c". */
static void add_charsmap(struct gguf_file *f, enum sw_gguf_kind kind, uint32_t replacement)
{
    uint32_t units[256] = {[0] = 1 << 10, [0x50] = 'Q' | 1 << 8 | (0x50 ^ 200) << 10};
    units[200] = 0x80000000u | replacement;
    add_array(f, "tokenizer.ggml.precompiled_charsmap", kind, 4 + sizeof units + 4);
    add_number(f, sizeof units, 4);
    for (size_t i = 0; i < 256; i++)
        add_number(f, units[i], 4);
    add_bytes(f, "c\0\xC3\xA4", 4);
}

static struct gguf_file unigram_file(int more)
{
    struct gguf_file f = begin_file(3, 0, (uint64_t)(6 + more));
    add_string(&f, "tokenizer.ggml.model", "t5");
    add_strings(&f, "tokenizer.ggml.tokens", unigram_pieces);
    add_array(&f, "tokenizer.ggml.scores", SW_GGUF_F32, N_UNIGRAM);
    add_bytes(&f, unigram_scores, sizeof unigram_scores);
    add_types(&f, N_UNIGRAM, unigram_types);
    add_value(&f, "tokenizer.ggml.add_space_prefix", SW_GGUF_BOOL, 1, 1);
    add_value(&f, "tokenizer.ggml.remove_extra_whitespaces", SW_GGUF_BOOL, 1, 1);
    return f;
}

/* Ids of the sentencepiece library (0.2) for the same vocabulary and map. */
static void cuts_by_unigram(void)
{
    static const char *const cases[][2] = {
        {"ab", " 4 5"},
        {"abab", " 4 7 5"},
        {" a  b ", " 4 3 5"},
        {"abc", " 4 5 9"},
        {"Qab", " 3 9 6"},
        {"qab", " 3 2 6"},
        {"xyzab", " 3 2 6"},
        {"a!!!!", " 4 11 11"},
        {"aab z", " 4 6 3 2"},
        {"b<x>ab", " 3 5 13 6"},
        {"", ""},
        {"  ", ""},
        {"!!!!!!", " 3 11 11 11"},
        {"\xE4\xB8\x80\xE4\xB8\x81"
         "a",
         " 3 2 15"},
        {"aQQc", " 4 9 9 9"},
    };
    const enum sw_gguf_kind kinds[] = {SW_GGUF_U8, SW_GGUF_I8};
    for (size_t k = 0; k < 2; k++) {
        struct sw_tokenizer *tok;
        struct sw_ids ids = {0};
        struct gguf_file f = unigram_file(1);
        add_charsmap(&f, kinds[k], 0);
        CU_ASSERT_EQUAL_FATAL(make_tokenizer(&f, &tok), SW_OK);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            if (!has_ids(tok, cases[i][0], strlen(cases[i][0]), cases[i][1])) {
                printf("    \"%s\" is not%s\n", cases[i][0], cases[i][1]);
                CU_FAIL("ids");
            }
        /* T5's: nothing before a text, and its EOS, which no key names, behind it. */
        CU_ASSERT_EQUAL(sw_tokenizer_encode(tok, "ab", 2, SW_ENCODE_ADD_SPECIAL, &ids), SW_OK);
        CU_ASSERT(ids.count == 3 && ids.items[0] == 4 && ids.items[2] == 1);
        CU_ASSERT(sw_tokenizer_is_end(tok, 1));
        sw_ids_free(&ids);
        sw_tokenizer_close(tok);
    }
}

/* A run that pieces overlap in without an end, and the ties in it, in f64. */
static void cuts_long_texts(void)
{
    struct sw_tokenizer *tok;
    struct sw_ids ids = {0};
    const size_t n = 100000;
    char *text = malloc(n);
    struct gguf_file f = unigram_file(0);
    CU_ASSERT_EQUAL_FATAL(make_tokenizer(&f, &tok), SW_OK);
    memset(text, '!', n);
    CU_ASSERT_EQUAL(sw_tokenizer_encode(tok, text, n, 0, &ids), SW_OK);
    CU_ASSERT_EQUAL(ids.count, 1 + n / 2);
    CU_ASSERT(ids.items[0] == 3 && ids.items[1] == 11 && ids.items[n / 2] == 11);
    free(text);
    sw_ids_free(&ids);
    sw_tokenizer_close(tok);
}

static void refuses_unigrams(void)
{
    struct sw_tokenizer *tok;
    struct gguf_file f = unigram_file(1);
    add_charsmap(&f, SW_GGUF_U16, 0);
    f.n += 4 + 1024 + 4; /* elements of two bytes */
    expect_failure(make_tokenizer(&f, &tok), SW_EMODEL, "expected an array of bytes");
    f = unigram_file(1);
    add_array(&f, "tokenizer.ggml.precompiled_charsmap", SW_GGUF_U8, 4);
    add_number(&f, 1024, 4);
    expect_failure(make_tokenizer(&f, &tok), SW_EMODEL, "precompiled_charsmap: 4 bytes");
    f = unigram_file(1);
    add_value(&f, "tokenizer.ggml.unknown_token_id", SW_GGUF_U32, N_UNIGRAM, 4);
    expect_failure(make_tokenizer(&f, &tok), SW_EMODEL, "has the id 16, but ids are 0 to 15");
}

/* A replacement that begins within a character makes no text that is not UTF-8. */
static void bears_damaged_maps(void)
{
    struct sw_tokenizer *tok;
    struct gguf_file f = unigram_file(1);
    add_charsmap(&f, SW_GGUF_U8, 3);
    CU_ASSERT_EQUAL_FATAL(make_tokenizer(&f, &tok), SW_OK);
    CU_ASSERT(has_ids(tok, "aQ", 2, " 4 2"));
    sw_tokenizer_close(tok);
}

static void refuses(void)
{
    struct sw_tokenizer *tok;
    struct gguf_file f = small_file("gpt2", "superbpe", 7, 0);
    expect_failure(make_tokenizer(&f, &tok), SW_EMODEL, "m.gguf: tokenizer.ggml.pre 'superbpe'");
    f = small_file("bert", "gpt-2", 7, 0);
    expect_failure(make_tokenizer(&f, &tok), SW_EMODEL, "tokenizer 'bert' is not supported");
    f = small_file("gpt2", "gpt-2", 6, 0);
    expect_failure(make_tokenizer(&f, &tok), SW_EMODEL, "has 6 elements of kind 5; expected 7");
    f = small_file("llama", "default", 7, 0);
    expect_failure(make_tokenizer(&f, &tok), SW_EMODEL, "no scores");
    f = small_file("gpt2", "gpt-2", 7, 1);
    add_value(&f, "tokenizer.ggml.eos_token_id", SW_GGUF_U32, 7, 4);
    expect_failure(make_tokenizer(&f, &tok), SW_EMODEL, "has the id 7, but ids are 0 to 6");
    f = begin_file(3, 0, 0);
    expect_failure(make_tokenizer(&f, &tok), SW_EMODEL, "m.gguf: has no tokenizer");
}

SW_UNIT_TESTS({"encodes as the models' own", encodes_as_the_models},
              {"encodes hard texts", encodes_hard_texts},
              {"reads kinds of pieces", reads_kinds_of_pieces},
              {"merges whole texts", merges_whole_texts}, {"cuts by Unigram", cuts_by_unigram},
              {"cuts long texts", cuts_long_texts}, {"refuses Unigrams", refuses_unigrams},
              {"bears damaged maps", bears_damaged_maps}, {"refuses", refuses})
