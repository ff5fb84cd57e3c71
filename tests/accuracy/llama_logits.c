/* Logits of llama.cpp for given ids, with the KV cache in f32: MODEL.gguf OUT IDS…; OUT gets
 * (ids, vocab) f32. Built against llama.cpp's own library by accuracy.py. */
#include <llama.h>

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    const int n = argc - 3;
    llama_token *ids = calloc((size_t)n, sizeof *ids);
    for (int i = 0; i < n; i++)
        ids[i] = atoi(argv[i + 3]);
    llama_backend_init();
    struct llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = 512;
    params.n_threads = params.n_threads_batch = 1;
    params.type_k = params.type_v = GGML_TYPE_F32;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    struct llama_context *context = model ? llama_init_from_model(model, params) : NULL;
    struct llama_batch batch = llama_batch_init(n, 0, 1);
    FILE *out = fopen(argv[2], "wb");
    if (!context || !out)
        return 1;
    batch.n_tokens = n;
    for (int i = 0; i < n; i++) {
        batch.token[i] = ids[i];
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    if (llama_decode(context, batch) != 0)
        return 1;
    const size_t vocab = (size_t)llama_vocab_n_tokens(llama_model_get_vocab(model));
    for (int i = 0; i < n; i++)
        if (fwrite(llama_get_logits_ith(context, i), sizeof(float), vocab, out) != vocab)
            return 1;
    return fclose(out) == 0 ? 0 : 1;
}
