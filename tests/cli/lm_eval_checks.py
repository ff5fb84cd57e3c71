"""Tasks of lm-evaluation-harness from local files, and its answers beside score's. Used by test_lm_eval.sh:
lm_eval_checks.py tasks EVAL FOLDER COUNT    tasks in the forms of arc_easy, lambada_openai and wikitext
lm_eval_checks.py lines SAMPLES IN           what the harness asked of a model, as lines for score
lm_eval_checks.py hf SAMPLES SAMPLES         two backends' answers and figures: equal within float noise
lm_eval_checks.py score SAMPLES SCORES       a server's answers and score's: the same bits
SAMPLES is a folder that `lm_eval --log_samples --output_path` has filled."""
import json
import pathlib
import struct
import sys

FORMS = {
    "arc_like": """output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{choices.label.index(answerKey)}}"
doc_to_choice: "{{choices.text}}"
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
    "lambada_like": """output_type: loglikelihood
doc_to_text: "{{text.split(' ')[:-1]|join(' ')}}"
doc_to_target: "{{' '+text.split(' ')[-1]}}"
metric_list: [{metric: perplexity}, {metric: acc}]
""",
    "pages": """output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{page}}"
metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}, {metric: bits_per_byte}]
""",
}


def tasks(data, folder, count):
    """Questions of GSM8K, the wrong choices being the answers of the next three; LAMBADA; pages of its texts."""
    data, folder, count = pathlib.Path(data), pathlib.Path(folder), int(count)
    read = lambda name: [json.loads(line) for line in open(data / name, encoding="utf-8")]
    questions = read("gsm8k_test.jsonl")
    # First what the shipped model would say itself.
    texts = [{"text": "To be, or else"}] + read("lambada_test.jsonl")
    answers = [q["answer"].rsplit("#### ", 1)[1] for q in questions]
    arc = [{"question": q["question"], "answerKey": "ABCD"[i % 4],
            "choices": {"label": list("ABCD"), "text": [answers[i + (k - i) % 4] for k in range(4)]}}
           for i, q in enumerate(questions[:count])]
    pages = [{"page": "\n\n".join(t["text"] for t in texts[i * 5:i * 5 + 5])} for i in range(max(2, count // 4))]
    folder.mkdir(exist_ok=True)
    for (name, form), docs in zip(FORMS.items(), (arc, texts[:count], pages)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(d) + "\n" for d in docs))
        files = json.dumps({"test": str(folder.resolve() / f"{name}.jsonl")})
        (folder / f"{name}.yaml").write_text(f"task: {name}\ndataset_path: json\ntest_split: test\n"
                                             f"dataset_kwargs: {{data_files: {files}}}\n{form}")


def samples(folder):
    """{(task, document, place): (arguments, answer)}: the numbers as the harness has written them."""
    out = {}
    for name in FORMS:
        (path,) = pathlib.Path(folder).rglob(f"samples_{name}_*.jsonl")
        for line in open(path, encoding="utf-8"):
            doc = json.loads(line)
            for i, arguments in enumerate(doc["arguments"].values()):
                out[name, doc["doc_id"], i] = list(arguments.values()), doc["resps"][i][0]
    assert len({k[0] for k in out}) == len(FORMS), "a task without documents"
    return out


def logprob(answer):
    """What the harness writes of an answer: a pair for a continuation, a number for a text."""
    return (float(answer[0]), str(answer[1])) if isinstance(answer, list) else (float(answer), None)


def figures(folder):
    (path,) = pathlib.Path(folder).rglob("results_*.json")
    results = json.loads(path.read_text())["results"]
    return {(task, name.split(",")[0]): value for task in FORMS for name, value in results[task].items()
            if isinstance(value, float) and "stderr" not in name}


def lines(folder, path):
    with open(path, "w", encoding="utf-8") as out:
        for key, (arguments, _) in samples(folder).items():
            text = {"text": arguments[0]} if len(arguments) == 1 else dict(zip(("context", "continuation"), arguments))
            out.write(json.dumps({"id": json.dumps(key)} | text) + "\n")


def hf(one, other):
    a, b = samples(one), samples(other)
    assert a.keys() == b.keys(), a.keys() ^ b.keys()
    worst, greedy = {name: 0 for name in FORMS}, 0
    for key in a:
        assert a[key][0] == b[key][0], (key, a[key], b[key])
        (x, greedy_x), (y, greedy_y) = logprob(a[key][1]), logprob(b[key][1])
        worst[key[0]] = max(worst[key[0]], abs(x - y) / max(1, abs(x)))
        assert abs(x - y) <= 1e-4 + 1e-5 * abs(x), (key, x, y)
        assert greedy_x == greedy_y, (key, a[key], b[key])
        greedy += greedy_x == "True"
    assert greedy > 0
    x, y = figures(one), figures(other)
    assert x.keys() == y.keys() and len(x) == 7, (x, y)
    for key in x:
        assert abs(x[key] - y[key]) <= (0 if key[1].startswith("acc") else 1e-4 * abs(x[key])), (key, x[key], y[key])
        print(*key, x[key], y[key])
    print(f"{len(a)} answers, {greedy} greedy; largest differences, of each or of 1:",
          *(f"{name} {w:.1e}" for name, w in worst.items()))


def score(folder, path):
    asked = samples(folder)
    scores = {tuple(json.loads(r["id"])): r for r in map(json.loads, open(path, encoding="utf-8"))}
    assert asked.keys() == scores.keys(), asked.keys() ^ scores.keys()
    bits = 0
    cut = sum("truncated" in r for r in scores.values())
    for key, (_, answer) in asked.items():
        got, mine = logprob(answer), scores[key]
        assert float("%.12g" % got[0]) == mine["logprob"], (key, got, mine["logprob"])
        if got[1] is not None:  # of a text score writes the sum alone
            floats = [struct.unpack("f", struct.pack("f", t["logprob"]))[0] for t in mine["tokens"]]  # of 12 digits
            assert got == (sum(floats), str(mine["greedy"])), (key, got, mine)
            bits += 1
    print(f"{len(asked)} answers are score's, {bits} in all bits, {len(asked) - bits} in the 12 digits of "
          f"a text's sum; {cut} cut on the left")


globals()[sys.argv[1]](*sys.argv[2:])
