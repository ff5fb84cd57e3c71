/* The tables of rows that families.c puts together. */
#ifndef SW_MODEL_FAMILIES_H
#define SW_MODEL_FAMILIES_H

#include "model/arch.h"

extern const struct sw_arch sw_families_dense[];
extern const int sw_families_dense_count;
extern const struct sw_arch sw_families_routed[];
extern const int sw_families_routed_count;
extern const struct sw_arch sw_families_latent[];
extern const int sw_families_latent_count;
extern const struct sw_arch sw_families_hybrid[];
extern const int sw_families_hybrid_count;

#endif
