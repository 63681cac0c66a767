# Counts the words of a text, which it keeps in memory, in order of appearance.
{ for (i = 1; i <= NF; i++) text[++words] = $i }
END {
	for (i = 1; i <= words; i++)
		if (count[text[i]]++ == 0) order[++distinct] = text[i]
	for (i = 1; i <= distinct; i++) print count[order[i]], order[i]
}
