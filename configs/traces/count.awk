# Counts the words of a text, slurped as one record, in order of appearance.
BEGIN { RS = "\001" }
{
	for (i = 1; i <= NF; i++) {
		if (!($i in count)) order[++words] = $i
		count[$i]++
	}
}
END { for (i = 1; i <= words; i++) print count[order[i]], order[i] }
