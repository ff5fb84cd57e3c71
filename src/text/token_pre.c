/* Owns the table of ways to cut texts. */
#include "text/token_pre.h"

#include "text/pretokenize.h"

#include <string.h>

/* The names are llama.cpp's (llama-vocab.cpp); the patterns are what models of that name have in
 * their own tokenizer files, and so are the words. llama.cpp itself matches patterns that have no
 * \p{…} with U+000B for every space beyond ASCII, so to it U+2000 to U+3000 are in none of
 * DeepSeek's classes (pre_cjk, pre_deepseek_marks): "  \u3000" is three words to the model's own
 * tokenizer and two to llama.cpp. */
static const char pre_digit[] = "\\p{N}";
static const char pre_bloom[] = " ?[^(\\s|.,!?…。，、।۔،)]+";
static const char pre_falcon[] = "[\\p{P}\\$\\+<=>\\^~\\|`]+";
static const char pre_three[] = "[0-9][0-9][0-9]";
static const char pre_digits[] = "\\p{N}{1,3}";
static const char pre_lines[] = "[\r\n]";
/* Widths of such letters are not those of every version of it. */
/* clang-format off */
static const char pre_deepseek_letters[] =
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼ"
    "ιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ"
    "𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
/* clang-format on */
static const char pre_deepseek_marks[] = "\\s?[!-/:-~！-／：-～‘-‟　-。]+";
static const char pre_last_spaces[] = "\\s+$";
static const char pre_cjk[] = "[一-龥ࠀ-一가-퟿]+";
static const char pre_number[] = "\\p{N}+";
static const char pre_coder_letters[] = "\\s?\\p{L}+";
static const char pre_coder_marks[] = "\\s?\\p{P}+";
static const char pre_kanji[] = "[一-龥぀-ゟ゠-ヿ]+";
static const char pre_v3_words[] =
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{"
    "S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";
static const char pre_gpt4o[] =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\"
    "p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p"
    "{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m"
    "|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!"
    "\\S)|\\s+";
static const char pre_tekken[] =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\"
    "p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\"
    "p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r"
    "\\n]+|\\s+(?!\\S)|\\s+";
static const char pre_qwen35[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?"
    "[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char pre_kimi[] =
    "\\p{Han}+|[^\\r\\n\\p{L}\\p{N}]?(?:(?!\\p{Han})[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}"
    "\\p{M}])*(?:(?!\\p{Han})[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}])+(?i:'s|'t|'re|'ve|'m|"
    "'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?(?:(?!\\p{Han})[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}"
    "\\p{M}])+(?:(?!\\p{Han})[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}])*(?i:'s|'t|'re|'ve|'m|"
    "'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S"
    ")|\\s+";
static const char pre_seed[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s"
    "\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char pre_bailing[] =
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p"
    "{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+";

static const struct sw_token_pre rows[] = {
    {.names = {"gpt-2", "phi-2", "gigachat", "a.x-4.0", "mellum", "exaone4", "jina-es", "jina-de",
               "jina-v2-es", "jina-v2-de", "jina-v2-code"},
     .patterns = {sw_pattern_gpt2}},
    {.names = {"mpt", "jais", "trillion", "granite-docling"}, .patterns = {sw_pattern_gpt2}},
    {.names = {"olmo", "modern-bert"}, .patterns = {sw_pattern_gpt2}, .nfc = true},
    {.names = {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
               "lfm2"},
     .patterns = {sw_pattern_llama3},
     .ignore_merges = true,
     .add_bos = true},
    {.names = {"dbrx", "smaug-bpe", "chatglm-bpe"}, .patterns = {sw_pattern_llama3}},
    {.names = {"glm4", "glm5"}, .patterns = {sw_pattern_llama3}, .ignore_merges = true},
    {.names = {"qwen2", "stablelm2", "hunyuan", "megrez", "solar-open", "kormo", "f2llmv2"},
     .patterns = {sw_pattern_qwen},
     .nfc = true},
    {.names = {"grok-2"}, .patterns = {sw_pattern_qwen}},
    {.names = {"deepseek-r1-qwen"}, .patterns = {sw_pattern_qwen}, .add_bos = true},
    {.names = {"qwen35"}, .patterns = {pre_qwen35}, .nfc = true},
    {.names = {"smollm", "codeshell", "exaone", "minerva-7b", "mellum2"},
     .patterns = {pre_digit, sw_pattern_gpt2}},
    {.names = {"starcoder"}, .patterns = {pre_digit, sw_pattern_gpt2}},
    {.names = {"refact"}, .patterns = {pre_digit, sw_pattern_gpt2}},
    {.names = {"command-r"}, .patterns = {pre_digit, sw_pattern_gpt2}, .nfc = true},
    {.names = {"falcon"}, .patterns = {pre_falcon, sw_pattern_gpt2, pre_three}},
    {.names = {"bloom", "poro-chat", "gpt3-finnish"}, .patterns = {pre_bloom}},
    {.names = {"viking"}, .patterns = {pre_bloom, pre_digit}},
    {.names = {"deepseek-llm"},
     .patterns = {pre_lines, pre_deepseek_letters, pre_deepseek_marks, pre_last_spaces, pre_cjk,
                  pre_number}},
    {.names = {"deepseek-coder"},
     .patterns = {pre_lines, pre_coder_letters, pre_coder_marks, pre_cjk, pre_digit}},
    {.names = {"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"},
     .patterns = {pre_digits, pre_kanji, pre_v3_words}},
    {.names = {"gpt-4o", "llama4", "kanana2", "minimax-m2"}, .patterns = {pre_gpt4o}},
    {.names = {"tekken"}, .patterns = {pre_tekken}, .ignore_merges = true, .add_bos = true},
    {.names = {"kimi-k2"}, .patterns = {pre_kimi}},
    {.names = {"seed-coder"}, .patterns = {pre_seed}},
    {.names = {"bailingmoe", "bailingmoe2", "llada-moe"}, .patterns = {pre_bailing}},
};

static bool pre_is(const struct sw_token_pre *row, const char *name)
{
    for (int i = 0; i < SW_TOKEN_PRE_NAMES && row->names[i]; i++)
        if (strcmp(row->names[i], name) == 0)
            return true;
    return false;
}

enum sw_status sw_token_pre_find(const char *name, const struct sw_token_pre **out)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (pre_is(rows + i, name ? name : "gpt-2")) {
            *out = rows + i;
            return SW_OK;
        }
    return sw_fail(SW_EMODEL,
                   "tokenizer.ggml.pre '%.60s': this way to cut a text into words is not known; "
                   "get the model's own folder",
                   name);
}

const char *sw_token_pre_name(const char *const *patterns, bool nfc, bool ignore_merges)
{
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        const struct sw_token_pre *row = rows + r;
        size_t i = 0;
        while (i < SW_TOKEN_PRE_PATTERNS && row->patterns[i] && patterns[i] &&
               strcmp(row->patterns[i], patterns[i]) == 0)
            i++;
        if ((i == SW_TOKEN_PRE_PATTERNS || !row->patterns[i]) && !patterns[i] && row->nfc == nfc &&
            row->ignore_merges == ignore_merges)
            return row->names[0];
    }
    return NULL;
}
