# Inputs of the bundled traces, from a seed: the same bytes everywhere.
#   awk -v what=sort|words|sql -v seed=N -f generate.awk
# The generator is the minimal standard one (x * 16807 mod 2^31 - 1): its
# products stay below 2^53, so every awk computes them exactly.

function rnd() { state = (state * 16807) % 2147483647; return state }

# A pronounceable word for a number, the same word for the same number.
function word(n,    w) {
	w = ""
	do {
		w = w substr("bdfgklmnprstvz", n % 14 + 1, 1) substr("aeiou", int(n / 14) % 5 + 1, 1)
		n = int(n / 70)
	} while (n > 0)
	return w
}

BEGIN {
	state = seed
	for (i = 0; i < 16; i++) rnd()
	if (what == "sort") sort_lines()
	else if (what == "words") words()
	else if (what == "sql") sql()
}

# Lines that begin with a random key, then filler: sort uses a second thread
# from 131072 lines on.
function sort_lines(    i, filler) {
	for (i = 0; i < 12; i++) filler = filler " " word(i * 7919)
	for (i = 0; i < lines; i++)
		printf "%08x%08x %s\n", rnd(), rnd(), substr(filler, 1, 24 + rnd() % 81)
}

# Text of words whose rank follows a power law, with a long tail of rare ones.
function words(    i, r, line) {
	for (i = 0; i < count; i++) {
		r = int(exp(rnd() / 2147483647 * log(vocabulary)))
		if (rnd() % 100 < rare) r = rnd() % vocabulary
		line = line word(r * 48271 % 9999991)
		if (length(line) > 70) { print line; line = "" } else line = line " "
	}
	print line
}

# A table with an index, filled in transactions, then updated and read at random.
function sql(    i, n) {
	print "PRAGMA page_size=4096; PRAGMA cache_size=-65536; PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL;"
	print "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, score INTEGER, note BLOB);"
	# One statement a transaction; the generator of this file again, in SQL.
	for (i = 1; i <= rows; i += batch) {
		print "BEGIN;"
		printf "WITH RECURSIVE r(i,s) AS (SELECT %d,%d UNION ALL SELECT i+1,s*16807%%2147483647 FROM r LIMIT %d)", i, rnd(), batch
		print " INSERT INTO item SELECT i,printf('%08x%08x',s,i),s%1000000,zeroblob(900+s%600) FROM r;"
		print "COMMIT;"
	}
	print "CREATE INDEX by_name ON item(name);"
	for (i = 0; i < updates; i++) {
		if (i % batch == 0) print "BEGIN;"
		printf "UPDATE item SET score=score+%d WHERE id=%d;\n", i, 1 + rnd() % rows
		if (i % batch == batch - 1 || i == updates - 1) print "COMMIT;"
	}
	print "SELECT count(*), sum(score), max(length(note)) FROM item;"
}
