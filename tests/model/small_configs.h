/* Keys of a config.json for a small model, to be put between braces with others. */
#ifndef SW_TESTS_SMALL_CONFIGS_H
#define SW_TESTS_SMALL_CONFIGS_H

/* llama, of 2 layers */
#define GOOD                                                                                       \
    "\"model_type\": \"llama\", \"hidden_size\": 32, \"num_hidden_layers\": 2, "                   \
    "\"num_attention_heads\": 4, \"vocab_size\": 96, \"intermediate_size\": 64"

/* Gemma 4, of 3 layers, the second without a window */
#define GEMMA4                                                                                     \
    "\"model_type\": \"gemma4_text\", \"hidden_size\": 32, \"num_hidden_layers\": 3, "             \
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 4, \"head_dim\": 8, "                    \
    "\"vocab_size\": 96, \"intermediate_size\": 64, \"hidden_size_per_layer_input\": 0, "          \
    "\"sliding_window\": 8, \"attention_k_eq_v\": true, "                                          \
    "\"layer_types\": [\"sliding_attention\", \"full_attention\", \"sliding_attention\"], "        \
    "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"proportional\", "                 \
    "\"rope_theta\": 1e6, \"partial_rotary_factor\": 0.25}}"

#endif
