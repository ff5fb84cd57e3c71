/*
 * Real tokenizers against ids that others published: SentencePiece's own library, llama.cpp's
 * vocabulary tests and swift-transformers' encodings made with Hugging Face tokenizers.
 */
#include "base/utf8.h"
#include "text/fixtures.h"

struct family {
    const char *name;
    const char *links[4][2]; /* name in the folder, shared file */
    const char *config;      /* config.json, NULL none */
    const char *expected[2]; /* .jsonl of {text, ids} */
    const char *llama_cpp;   /* .inp and .out, NULL none */
    bool round_trip;         /* decoding gives the text back exactly */
};

static const struct family families[] = {
    {"gpt2",
     {{"tokenizer.json", "gpt2/tokenizer.json"}},
     NULL,
     {"tokenizer-expected/gpt2_bpe.jsonl"},
     "gpt-2",
     true},
    {"gpt-neox",
     {{"tokenizer.json", "gpt-neox-20b/tokenizer.json"}},
     NULL,
     {"tokenizer-expected/gpt_neox_bpe.jsonl"},
     "mpt",
     false},
    {"opt",
     {{"vocab.json", "opt/vocab.json"}, {"merges.txt", "opt/merges.txt"}},
     "{\"model_type\": \"opt\", \"bos_token_id\": 2, \"eos_token_id\": 2}",
     {"tokenizer-expected/opt_bpe.jsonl"},
     NULL,
     true},
    {"llama2",
     {{"tokenizer.model", "llama2/tokenizer.model"}},
     NULL,
     {"tokenizer-expected/llama2_spm.jsonl"},
     "llama-spm",
     true},
    {"mistral v1",
     {{"tokenizer.model", "mistral/tokenizer.model.v1"}},
     NULL,
     {"tokenizer-expected/mistral_v1_spm.jsonl"},
     NULL,
     true},
    {"mistral v3",
     {{"tokenizer.model", "mistral/tokenizer.model.v3"}},
     NULL,
     {"tokenizer-expected/mistral_v3_spm.jsonl"},
     NULL,
     true},
    {"llama3 tiktoken",
     {{"tokenizer.model", "llama3/tokenizer.model"}},
     NULL,
     {"tokenizer-expected/llama3_bpe.jsonl"},
     "llama-bpe",
     true},
    {"llama3 merges",
     {{"vocab.json", "llama3/vocab.json"}, {"merges.txt", "llama3/merges.txt"}},
     "{\"model_type\": \"llama\"}",
     {"tokenizer-expected/llama3_bpe.jsonl"},
     "llama-bpe",
     true},
    {"qwen2.5",
     {{"vocab.json", "qwen2.5/vocab.json"},
      {"merges.txt", "qwen2.5/merges.txt"},
      {"tokenizer_config.json", "qwen2.5/tokenizer_config.json"}},
     NULL,
     {"tokenizer-expected/qwen2_bpe.jsonl"},
     "qwen2",
     false},
    {"small SentencePiece BPE",
     {{"tokenizer.model", "transformers-fixtures/test_sentencepiece_bpe.model"}},
     NULL,
     {"tokenizer-expected/test_bpe_spm.jsonl"},
     NULL,
     false},
    {"small SentencePiece Unigram",
     {{"tokenizer.model", "transformers-fixtures/test_sentencepiece.model"}},
     NULL,
     {"tokenizer-expected/test_unigram_spm.jsonl"},
     NULL,
     false},
    {"t5",
     {{"tokenizer.model", "t5/spiece.rebuilt.model"}},
     NULL,
     {"tokenizer-expected/t5_spm.jsonl"},
     NULL,
     false},
    {"t5 tokenizer.json", {{"tokenizer.json", "t5/tokenizer.json"}}, NULL, {NULL}, NULL, false},
};
#define N_FAMILIES (sizeof families / sizeof families[0])

/* NULL when a file is not here. */
static struct sw_tokenizer *open_family(const struct family *family)
{
    struct sw_tokenizer *tok = NULL;
    char *dir = fixture_make();
    bool here = true;
    for (size_t i = 0; here && i < 4 && family->links[i][0]; i++)
        here = fixture_link(dir, family->links[i][0], family->links[i][1]);
    if (here && family->config)
        fixture_puts(dir, "config.json", family->config);
    if (here)
        tok = fixture_open(dir);
    fixture_remove(dir);
    return tok;
}

static bool texts_equal(const struct sw_strbuf *text, const char *expected, size_t n)
{
    return text->length == n && (n == 0 || memcmp(text->text, expected, n) == 0);
}

static void check_case(struct sw_tokenizer *tok, const struct family *family, const char *text,
                       size_t n, const int32_t *expected, size_t n_expected)
{
    CU_ASSERT(fixture_encodes(tok, text, n, 0, expected, n_expected));
    struct sw_ids ids = {.items = (int32_t *)(uintptr_t)expected, .count = n_expected};
    struct sw_strbuf decoded = {0};
    CU_ASSERT(fixture_decodes(tok, &ids, false, &decoded));
    CU_ASSERT(sw_utf8_valid(decoded.text ? decoded.text : "", decoded.length));
    const bool back = texts_equal(&decoded, text, n);
    CU_ASSERT(back || !family->round_trip);
    if (!back && family->round_trip)
        printf("    %s: \"%.60s\" came back as \"%.60s\"\n", family->name, text, decoded.text);
    sw_strbuf_free(&decoded);
}

static size_t ids_of(const json_t *list, int32_t *ids, size_t max)
{
    size_t n = 0;
    for (; n < json_array_size(list) && n < max; n++)
        ids[n] = (int32_t)json_integer_value(json_array_get(list, n));
    return n;
}

static void check_jsonl(struct sw_tokenizer *tok, const struct family *family, const char *name)
{
    static int32_t ids[1 << 16];
    const char *path = sw_unit_shared(name);
    if (!path)
        return;
    size_t n, cases = 0;
    char *bytes = fixture_read(path, &n);
    for (char *line = strtok(bytes, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *entry = json_loads(line, JSON_ALLOW_NUL, NULL);
        const json_t *text = json_object_get(entry, "text");
        check_case(tok, family, json_string_value(text), json_string_length(text), ids,
                   ids_of(json_object_get(entry, "ids"), ids, sizeof ids / sizeof *ids));
        json_decref(entry);
        cases++;
    }
    CU_ASSERT(cases >= 57);
    free(bytes);
}

/* .inp: texts with a separator line between; .out: a line of ids each. */
static void check_llama_cpp(struct sw_tokenizer *tok, const struct family *family)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    static int32_t ids[1 << 16];
    char name[128];
    size_t n_in, n_out, cases = 0;
    snprintf(name, sizeof name, "llama.cpp/ggml-vocab-%s.gguf.inp", family->llama_cpp);
    const char *path = sw_unit_shared(name);
    if (!path)
        return;
    char *in = fixture_read(path, &n_in);
    snprintf(name, sizeof name, "llama.cpp/ggml-vocab-%s.gguf.out", family->llama_cpp);
    char *out = fixture_read(sw_unit_shared(name), &n_out), *line = out;
    for (char *text = in, *end; *line; cases++) {
        end = memmem(text, n_in - (size_t)(text - in), separator, strlen(separator));
        size_t n = end ? (size_t)(end - text) : n_in - (size_t)(text - in), n_ids = 0;
        for (char *stop; *line && *line != '\n'; line = stop) {
            while (*line == ' ')
                line++;
            const long id = strtol(line, &stop, 10);
            if (stop == line)
                break;
            ids[n_ids++] = (int32_t)id;
        }
        line += *line == '\n';
        check_case(tok, family, text, n, ids, n_ids);
        if (!end)
            break;
        text = end + strlen(separator);
    }
    CU_ASSERT(cases >= 46);
    free(in);
    free(out);
}

static void ids_are_the_published_ones(void)
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        struct sw_tokenizer *tok = open_family(&families[i]);
        if (!tok)
            continue;
        if (families[i].expected[0])
            check_jsonl(tok, &families[i], families[i].expected[0]);
        if (families[i].llama_cpp)
            check_llama_cpp(tok, &families[i]);
        sw_tokenizer_close(tok);
    }
}

/* SHA-256 (FIPS 180-4), for the digests of whole texts' ids. */
struct sha256 {
    uint32_t state[8];
    unsigned char block[64];
    uint64_t length;
};

static uint32_t rotate(uint32_t x, int by)
{
    return x >> by | x << (32 - by);
}

static void sha256_block(struct sha256 *sha)
{
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
        0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
        0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
        0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
        0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
        0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
        0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
        0xc67178f2};
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)sha->block[4 * i] << 24 | (uint32_t)sha->block[4 * i + 1] << 16 |
               (uint32_t)sha->block[4 * i + 2] << 8 | sha->block[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] +
               (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(s, sha->state, sizeof s);
    for (int i = 0; i < 64; i++) {
        const uint32_t a = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) +
                           ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
        const uint32_t b = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) +
                           ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += a;
        s[0] = a + b;
    }
    for (int i = 0; i < 8; i++)
        sha->state[i] += s[i];
}

static void sha256_byte(struct sha256 *sha, unsigned char byte)
{
    sha->block[sha->length++ % 64] = byte;
    if (sha->length % 64 == 0)
        sha256_block(sha);
}

static void sha256_hex(struct sha256 *sha, char out[65])
{
    const uint64_t bits = sha->length * 8;
    sha256_byte(sha, 0x80);
    while (sha->length % 64 != 56)
        sha256_byte(sha, 0);
    for (int i = 56; i >= 0; i -= 8)
        sha256_byte(sha, (unsigned char)(bits >> i));
    for (size_t i = 0; i < 8; i++)
        snprintf(out + 8 * i, 9, "%08x", sha->state[i]);
}

/* The text line by line (of either kind), the ids of all lines hashed as 32-bit little-endian. */
static void check_corpus(struct sw_tokenizer *tok, const char *name, const json_t *expected)
{
    size_t n, tokens = 0;
    char hex[65];
    const char *path = sw_unit_shared(name);
    if (!path)
        return;
    struct sha256 sha = {{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                          0x1f83d9ab, 0x5be0cd19},
                         {0},
                         0};
    char *bytes = fixture_read(path, &n);
    const bool lines =
        json_is_true(json_object_get(expected, "lines_encoded_one_by_one_without_newline"));
    struct sw_ids ids = {0};
    for (char *at = bytes, *end; at < bytes + n; at = end + 1) {
        end = lines ? memchr(at, '\n', n - (size_t)(at - bytes)) : NULL;
        if (!end)
            end = bytes + n;
        ids.count = 0;
        const bool carriage = lines && end > at && end[-1] == '\r';
        CU_ASSERT_EQUAL(sw_tokenizer_encode(tok, at, (size_t)(end - at) - carriage, 0, &ids),
                        SW_OK);
        tokens += ids.count;
        for (size_t i = 0; i < ids.count; i++)
            for (int shift = 0; shift < 32; shift += 8)
                sha256_byte(&sha, (unsigned char)((uint32_t)ids.items[i] >> shift));
    }
    sha256_hex(&sha, hex);
    CU_ASSERT_EQUAL(tokens, (size_t)json_integer_value(json_object_get(expected, "tokens")));
    CU_ASSERT_STRING_EQUAL(hex, json_string_value(json_object_get(expected, "sha256_of_u32le")));
    sw_ids_free(&ids);
    free(bytes);
}

static void whole_texts_have_the_published_digest(void)
{
    const char *path = sw_unit_shared("tokenizer-expected/corpus_summary.json");
    if (!path)
        return;
    json_t *summary = json_load_file(path, 0, NULL), *texts, *expected;
    const char *name;
    size_t checked = 0;
    for (size_t i = 0; i < N_FAMILIES; i++) {
        char key[64]; /* "tokenizer-expected/KEY.jsonl" */
        if (!families[i].expected[0])
            continue;
        snprintf(key, sizeof key, "%s", strchr(families[i].expected[0], '/') + 1);
        *strrchr(key, '.') = '\0';
        texts = json_object_get(summary, key);
        struct sw_tokenizer *tok = texts ? open_family(&families[i]) : NULL;
        if (!tok)
            continue;
        json_object_foreach(texts, name, expected)
        {
            check_corpus(tok, name, expected);
            checked++;
        }
        sw_tokenizer_close(tok);
    }
    CU_ASSERT(checked >= 20);
    json_decref(summary);
}

/* swift-transformers: one long French text each, with BOS where the model has one. */
static void encodings_of_swift_transformers(void)
{
    static int32_t ids[1 << 16];
    static const struct {
        size_t family;
        const char *file;
    } cases[] = {{0, "swift-transformers/gpt2_encoded_tokens.json"},
                 {3, "swift-transformers/llama_encoded.json"},
                 {6, "swift-transformers/llama_3.2_encoded.json"},
                 {7, "swift-transformers/llama_3.2_encoded.json"},
                 {12, "swift-transformers/t5_base_encoded.json"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sw_tokenizer *tok = open_family(&families[cases[i].family]);
        const char *path = sw_unit_shared(cases[i].file);
        if (!tok || !path)
            continue;
        json_t *entry = json_load_file(path, 0, NULL);
        const json_t *text = json_object_get(entry, "text");
        const size_t n = ids_of(json_object_get(entry, "token_ids"), ids, sizeof ids / sizeof *ids);
        CU_ASSERT(n > 100);
        CU_ASSERT(fixture_encodes(tok, json_string_value(text), json_string_length(text),
                                  SW_ENCODE_ADD_SPECIAL | SW_ENCODE_PARSE_SPECIAL, ids, n));
        json_decref(entry);
        sw_tokenizer_close(tok);
    }
}

/* Its second set: short texts, with special tokens inside, and their decodings. */
static void cases_of_swift_transformers(void)
{
    static int32_t ids[1 << 12];
    static const struct {
        size_t family;
        const char *name;
    } cases[] = {{0, "distilgpt2"},
                 {3, "coreml-projects/Llama-2-7b-chat-coreml"},
                 {6, "pcuenq/Llama-3.2-1B-Instruct-tokenizer"}};
    const char *path = sw_unit_shared("swift-transformers/tokenizer_tests.json");
    if (!path)
        return;
    json_t *all = json_load_file(path, 0, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sw_tokenizer *tok = open_family(&families[cases[i].family]);
        const json_t *list = json_object_get(all, cases[i].name);
        CU_ASSERT(json_array_size(list) > 3);
        for (size_t k = 0; tok && k < json_array_size(list); k++) {
            const json_t *entry = json_array_get(list, k), *text = json_object_get(entry, "input");
            const size_t n = ids_of(json_object_get(json_object_get(entry, "encoded"), "input_ids"),
                                    ids, 1 << 12);
            CU_ASSERT(fixture_encodes(tok, json_string_value(text), json_string_length(text),
                                      SW_ENCODE_ADD_SPECIAL | SW_ENCODE_PARSE_SPECIAL, ids, n));
        }
        sw_tokenizer_close(tok);
    }
    json_decref(all);
}

SW_UNIT_TESTS({"ids are the published ones", ids_are_the_published_ones},
              {"whole texts have the published digest", whole_texts_have_the_published_digest},
              {"encodings of swift-transformers", encodings_of_swift_transformers},
              {"cases of swift-transformers", cases_of_swift_transformers})
