/* Reports of a plan for users and programs. All append to `out`; check out->failed at the end. */
#ifndef SW_PLAN_REPORT_H
#define SW_PLAN_REPORT_H

#include "base/strbuf.h"
#include "model/footprint.h"
#include "plan/plan.h"

#include <stdbool.h>

struct sw_report {
    const char *model; /* title, "opt-66b"; may be NULL */
    const struct sw_footprint *footprint;
    const struct sw_cluster *cluster;
    const struct sw_plan *plan;
    const struct sw_plan_options *options;
};

struct sw_report_style {
    int width;    /* columns; 0: 100 */
    bool unicode; /* false: plain ASCII */
    bool colour;  /* ANSI colours */
};

/* A table with a bar for each device and node, and the prediction; or the advice if it does not
 * fit. */
void sw_report_text(const struct sw_report *report, const struct sw_report_style *style,
                    struct sw_strbuf *out);
/* The plan as JSON, all sizes in bytes: what `plan --json` prints (docs/man/spillway.1.md). */
void sw_report_json(const struct sw_report *report, struct sw_strbuf *out);
/* A picture as SVG. */
void sw_report_svg(const struct sw_report *report, struct sw_strbuf *out);

/* What a Slurm job file contains besides the plan; no text is NULL. */
struct sw_sbatch_job {
    const char *name;    /* one word */
    const char *model;   /* path of the model for the job's command line */
    const char *options; /* options of the plan for the command line, " --slots 4", shell-quoted */
    int threads;         /* --threads, for each rank; 0: not given */
};
/*
 * A job file for the nodes that have layers in a plan that fits: requests to Slurm, then
 * launch/slurm.sbatch. Nodes with different needs become different parts of the job (hetjob).
 * SW_ENOFIT when there are more parts than Slurm accepts.
 */
enum sw_status sw_report_sbatch(const struct sw_report *report, const struct sw_sbatch_job *job,
                                struct sw_strbuf *out);

#endif
