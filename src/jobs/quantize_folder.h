/* The folder of a model that is being quantized, around its model.safetensors. */
#ifndef SW_JOBS_QUANTIZE_FOLDER_H
#define SW_JOBS_QUANTIZE_FOLDER_H

#include "base/status.h"
#include "base/strbuf.h"

/* SW_EUSAGE: there is such a folder or file already, and it is not of a run that was interrupted.
 */
enum sw_status sw_quantize_folder_check(const char *out);
/* Makes the folder, unless it is there. */
enum sw_status sw_quantize_folder_make(const char *out);
/*
 * Copies what lies beside the weights of folder `in`: texts of models and tokenizers. `config`
 * becomes config.json. Each appears whole or not at all.
 */
enum sw_status sw_quantize_folder_fill(const char *in, const char *out,
                                       const struct sw_strbuf *config);

#endif
