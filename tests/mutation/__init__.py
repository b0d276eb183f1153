"""Does a test fail where a line is wrong? Lines of ``pellucid/_core`` are changed one at a time, and tests run.

``python -m tests.mutation`` draws a fixed sample of changes and runs for each the few fastest tests that reached its
line in the last ``make test``. Libraries for this were looked at first: mutmut runs mutants behind a wrapper of every
function, which hides from the engine the frames it looks at, and it neither samples nor leaves messages alone;
cosmic-ray writes changes into the working tree, runs one command for all of them and starts Python and torch each time.
"""
