/*
 * Fitting a model, which is made from config.json alone, to what its weight files hold.
 */
#ifndef SW_FORMAT_FIT_H
#define SW_FORMAT_FIT_H

#include "model/model.h"

/*
 * Decides whether the head is the embedding: by config.json, unless the files hold a head that
 * differs in type or shape (it is used, and model->warnings says so), or only one of the two, under
 * either name. Then checks every weight (sw_model_check). Every rank decides by the same files, so
 * all decide alike.
 */
enum sw_status sw_checkpoint_fit(struct sw_model *model, const struct sw_tensors *tensors);

/*
 * After that, on one rank, which tells the others (dims.tied): where the files hold both, and alike
 * so far, their values decide. They may be gigabytes. SW_EIO: they could not be read.
 */
enum sw_status sw_checkpoint_fit_values(struct sw_model *model, const struct sw_tensors *tensors);

/*
 * Where config.json does not state the type of the weights ("auto", or nothing at all), sets
 * model->dtype to that of the weights in `dir`, as transformers does; warns where there are none.
 */
enum sw_status sw_checkpoint_stored(const char *dir, struct sw_model *model);

#endif
