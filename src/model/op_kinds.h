/* The kinds of operation that architecture rows have and backends compute. */
#ifndef SW_MODEL_OP_KINDS_H
#define SW_MODEL_OP_KINDS_H

enum sw_norm { SW_NORM_LAYER, SW_NORM_RMS };
enum sw_activation { SW_ACT_RELU, SW_ACT_GELU, SW_ACT_GELU_TANH, SW_ACT_SILU };

#endif
