/* Owns the parsing of statements: what stands between {% and %}, and the bodies they enclose. */
#include "jinja/jinja_parser.h"

#include <stdlib.h>
#include <string.h>

#define TREE_MAX ((size_t)512 << 20) /* bytes of a template's tokens and tree */

/* The names that may end a body. */
struct ends {
    const char *names[3];
};

static enum sw_status parse_body(struct sw_jinja_parser *p, const struct ends *ends,
                                 struct sw_jinja_node **out);

static bool at_block_end(const struct sw_jinja_parser *p, const struct ends *ends)
{
    for (size_t i = 0; i < 3 && ends->names[i]; i++)
        if (p->at[0].kind == SW_T_BLOCK_BEGIN && p->at[1].kind == SW_T_NAME &&
            strcmp(p->at[1].text, ends->names[i]) == 0)
            return true;
    return false;
}

static enum sw_status expect_block_end(struct sw_jinja_parser *p)
{
    if (p->at->kind != SW_T_BLOCK_END)
        return sw_jinja_unexpected(p, "%}");
    p->at++;
    return SW_OK;
}

/* %} body {% end…, leaving the parser behind the name that ended it. */
static enum sw_status parse_block(struct sw_jinja_parser *p, const struct ends *ends,
                                  struct sw_jinja_node **out)
{
    const int line = p->at->line;
    sw_jinja_skip_operator(p, ":");
    SW_TRY(expect_block_end(p));
    SW_TRY(parse_body(p, ends, out));
    if (!at_block_end(p, ends)) {
        const enum sw_status status = sw_jinja_unexpected(p, "the end of a block");
        sw_error_context("{%% %s %%} of the block at line %d is missing", ends->names[0], line);
        return status;
    }
    p->at += 2;
    return SW_OK;
}

static enum sw_status parse_if(struct sw_jinja_parser *p, struct sw_jinja_node *node)
{
    static const struct ends ends = {{"endif", "elif", "else"}}, last = {{"endif"}};
    struct sw_jinja_list branches = {0};
    node->kind = SW_N_IF;
    for (;;) {
        struct sw_jinja_node *branch;
        SW_TRY(sw_jinja_node_new(p, SW_N_BRANCH, &branch));
        SW_TRY(sw_jinja_tuple(p, true, NULL, &branch->a));
        SW_TRY(parse_block(p, &ends, &branch->list));
        sw_jinja_list_add(&branches, branch);
        const char *ended = p->at[-1].text;
        if (strcmp(ended, "elif") == 0)
            continue;
        if (strcmp(ended, "else") == 0) {
            SW_TRY(sw_jinja_node_new(p, SW_N_BRANCH, &branch));
            SW_TRY(parse_block(p, &last, &branch->list));
            sw_jinja_list_add(&branches, branch);
        }
        node->list = branches.first;
        return SW_OK;
    }
}

static enum sw_status parse_for(struct sw_jinja_parser *p, struct sw_jinja_node *node)
{
    static const struct ends ends = {{"endfor", "else"}}, last = {{"endfor"}};
    node->kind = SW_N_FOR;
    SW_TRY(sw_jinja_target(p, false, &node->a));
    if (!sw_jinja_skip_name(p, "in"))
        return sw_jinja_unexpected(p, "'in'");
    SW_TRY(sw_jinja_tuple(p, true, "recursive", &node->b));
    if (sw_jinja_skip_name(p, "if"))
        SW_TRY(sw_jinja_expression(p, &node->c));
    if (sw_jinja_skip_name(p, "recursive"))
        node->op = 'r';
    p->loops++;
    SW_TRY(parse_block(p, &ends, &node->list));
    p->loops--;
    return strcmp(p->at[-1].text, "else") == 0 ? parse_block(p, &last, &node->orelse) : SW_OK;
}

static enum sw_status parse_set(struct sw_jinja_parser *p, struct sw_jinja_node *node)
{
    static const struct ends ends = {{"endset"}};
    node->kind = SW_N_SET;
    SW_TRY(sw_jinja_target(p, true, &node->a));
    if (sw_jinja_skip_operator(p, "="))
        return sw_jinja_tuple(p, false, NULL, &node->b);
    node->kind = SW_N_CAPTURE;
    SW_TRY(sw_jinja_filters(p, NULL, &node->b));
    return parse_block(p, &ends, &node->list);
}

static enum sw_status parse_filter(struct sw_jinja_parser *p, struct sw_jinja_node *node)
{
    static const struct ends ends = {{"endfilter"}};
    node->kind = SW_N_FILTERED;
    SW_TRY(sw_jinja_filter_name(p, NULL, &node->b));
    SW_TRY(sw_jinja_filters(p, node->b, &node->b));
    return parse_block(p, &ends, &node->list);
}

/* (a, b=1) */
static enum sw_status parse_signature(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    struct sw_jinja_list params = {0};
    bool defaults = false;
    SW_TRY(sw_jinja_expect_operator(p, "("));
    while (!sw_jinja_skip_operator(p, ")")) {
        struct sw_jinja_node *param;
        if (params.first)
            SW_TRY(sw_jinja_expect_operator(p, ","));
        SW_TRY(sw_jinja_node_new(p, SW_N_PARAM, &param));
        SW_TRY(sw_jinja_expect_name(p, &param->value));
        if (sw_jinja_skip_operator(p, "=")) {
            SW_TRY(sw_jinja_expression(p, &param->a));
            defaults = true;
        } else if (defaults) {
            return sw_jinja_unexpected(p, "a default, as the parameters before have");
        }
        sw_jinja_list_add(&params, param);
    }
    *out = params.first;
    return SW_OK;
}

/* A macro's body: no loop of the text around it reaches in. */
static enum sw_status parse_macro_body(struct sw_jinja_parser *p, const struct ends *ends,
                                       struct sw_jinja_node *macro)
{
    const int loops = p->loops, specials = p->specials;
    p->loops = p->specials = 0;
    SW_TRY(parse_block(p, ends, &macro->list));
    macro->op = p->specials;
    p->loops = loops;
    p->specials = specials;
    return SW_OK;
}

static enum sw_status parse_macro(struct sw_jinja_parser *p, struct sw_jinja_node *node)
{
    static const struct ends ends = {{"endmacro"}};
    node->kind = SW_N_MACRO;
    SW_TRY(sw_jinja_expect_name(p, &node->value));
    SW_TRY(parse_signature(p, &node->params));
    return parse_macro_body(p, &ends, node);
}

static enum sw_status parse_call(struct sw_jinja_parser *p, struct sw_jinja_node *node)
{
    static const struct ends ends = {{"endcall"}};
    struct sw_jinja_node *macro;
    node->kind = SW_N_CALLER;
    SW_TRY(sw_jinja_node_new(p, SW_N_MACRO, &macro));
    macro->value = sw_value_text("caller", 6);
    node->b = macro;
    if (sw_jinja_at_operator(p, "("))
        SW_TRY(parse_signature(p, &macro->params));
    SW_TRY(sw_jinja_expression(p, &node->a));
    if (node->a->kind != SW_N_CALL)
        return sw_jinja_unexpected(p, "a call before this");
    return parse_macro_body(p, &ends, macro);
}

static enum sw_status parse_with(struct sw_jinja_parser *p, struct sw_jinja_node *node)
{
    static const struct ends ends = {{"endwith"}};
    struct sw_jinja_list params = {0};
    node->kind = SW_N_WITH;
    while (p->at->kind != SW_T_BLOCK_END) {
        struct sw_jinja_node *param;
        if (params.first)
            SW_TRY(sw_jinja_expect_operator(p, ","));
        SW_TRY(sw_jinja_node_new(p, SW_N_PARAM, &param));
        SW_TRY(sw_jinja_expect_name(p, &param->value));
        SW_TRY(sw_jinja_expect_operator(p, "="));
        SW_TRY(sw_jinja_expression(p, &param->a));
        sw_jinja_list_add(&params, param);
    }
    node->params = params.first;
    return parse_block(p, &ends, &node->list);
}

static enum sw_status parse_generation(struct sw_jinja_parser *p, struct sw_jinja_node *node)
{
    static const struct ends ends = {{"endgeneration"}};
    node->kind = SW_N_SCOPE;
    return parse_block(p, &ends, &node->list);
}

static enum sw_status parse_print(struct sw_jinja_parser *p, struct sw_jinja_node *node)
{
    struct sw_jinja_list items = {0};
    node->kind = SW_N_CONCAT;
    while (p->at->kind != SW_T_BLOCK_END) {
        struct sw_jinja_node *item;
        if (items.first)
            SW_TRY(sw_jinja_expect_operator(p, ","));
        SW_TRY(sw_jinja_expression(p, &item));
        sw_jinja_list_add(&items, item);
    }
    node->list = items.first;
    struct sw_jinja_node *inner;
    SW_TRY(sw_jinja_node_new(p, SW_N_CONCAT, &inner));
    *inner = *node;
    *node = (struct sw_jinja_node){.kind = SW_N_PRINT, .line = inner->line, .a = inner};
    return SW_OK;
}

static enum sw_status parse_leave(struct sw_jinja_parser *p, struct sw_jinja_node *node)
{
    const bool breaks = strcmp(p->at[-1].text, "break") == 0;
    node->kind = breaks ? SW_N_BREAK : SW_N_CONTINUE;
    if (p->loops > 0)
        return SW_OK;
    p->at--;
    return sw_jinja_unexpected(p, "a loop around this");
}

static const struct statement {
    const char *name;
    enum sw_status (*parse)(struct sw_jinja_parser *p, struct sw_jinja_node *node);
} statements[] = {{"if", parse_if},         {"for", parse_for},
                  {"set", parse_set},       {"macro", parse_macro},
                  {"call", parse_call},     {"filter", parse_filter},
                  {"with", parse_with},     {"generation", parse_generation},
                  {"print", parse_print},   {"break", parse_leave},
                  {"continue", parse_leave}};

static enum sw_status parse_statement(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    SW_TRY(sw_jinja_enter(p));
    SW_TRY(sw_jinja_node_new(p, SW_N_SCOPE, out));
    p->at++;
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        if (!sw_jinja_skip_name(p, statements[i].name))
            continue;
        SW_TRY(statements[i].parse(p, *out));
        p->depth--;
        return expect_block_end(p);
    }
    return sw_jinja_unexpected(p, "a statement that chat templates use (if, for, set, macro, …)");
}

static enum sw_status parse_body(struct sw_jinja_parser *p, const struct ends *ends,
                                 struct sw_jinja_node **out)
{
    struct sw_jinja_list items = {0};
    while (p->at->kind != SW_T_END && !(ends && at_block_end(p, ends))) {
        struct sw_jinja_node *node;
        if (p->at->kind == SW_T_BLOCK_BEGIN) {
            SW_TRY(parse_statement(p, &node));
        } else if (p->at->kind == SW_T_DATA) {
            SW_TRY(sw_jinja_node_new(p, SW_N_TEXT, &node));
            node->value = sw_value_text(p->at->text, p->at->length);
            p->at++;
        } else { /* SW_T_PRINT_BEGIN: the lexer gives nothing else here */
            SW_TRY(sw_jinja_node_new(p, SW_N_PRINT, &node));
            p->at++;
            SW_TRY(sw_jinja_tuple(p, false, NULL, &node->a));
            if (p->at->kind != SW_T_PRINT_END)
                return sw_jinja_unexpected(p, "}}");
            p->at++;
        }
        sw_jinja_list_add(&items, node);
    }
    *out = items.first;
    return SW_OK;
}

enum sw_status sw_jinja_parse(const char *source, size_t n, struct sw_jinja **out)
{
    struct sw_jinja *template = calloc(1, sizeof *template);
    struct sw_jinja_token *tokens = NULL;
    size_t count;
    if (!template)
        return sw_fail(SW_ENOMEM, "no memory for a template");
    template->arena.limit = TREE_MAX;
    enum sw_status status = sw_jinja_lex(&template->arena, source, n, &tokens, &count);
    if (status == SW_OK) {
        struct sw_jinja_parser p = {.arena = &template->arena, .at = tokens};
        status = parse_body(&p, NULL, &template->body);
    }
    if (status != SW_OK) {
        sw_jinja_free(template);
        return status;
    }
    *out = template;
    return SW_OK;
}

void sw_jinja_free(struct sw_jinja *template)
{
    if (!template)
        return;
    sw_arena_free(&template->arena);
    free(template);
}
