/*
 * Fits a model, which is made from config.json alone, to the tensors of its weight files.
 */
#ifndef SW_CHECKPOINT_FIT_H
#define SW_CHECKPOINT_FIT_H

#include "model/model.h"

/*
 * Decides whether the head is the embedding: config.json states it, unless the files have a head
 * that differs in type or shape (then the head is used, with a warning in model->warnings), or only
 * one of the two. Then checks every weight (sw_model_check). All ranks decide the same, because
 * they have the same files.
 */
enum sw_status sw_checkpoint_fit(struct sw_model *model, const struct sw_tensors *tensors);

/*
 * Decides as sw_checkpoint_fit, but also compares the values (which may be gigabytes) where the
 * files have embedding and head of the same type and shape. To be called after sw_checkpoint_fit,
 * on one rank only, which sends dims.tied to the others. SW_EIO: they could not be read.
 */
enum sw_status sw_checkpoint_fit_values(struct sw_model *model, const struct sw_tensors *tensors);

/*
 * Where config.json does not state the type of the weights (absent or "auto"), sets model->dtype to
 * that of the weights in `dir`, as transformers does; adds a warning when there are none.
 */
enum sw_status sw_checkpoint_stored(const char *dir, struct sw_model *model);

#endif
