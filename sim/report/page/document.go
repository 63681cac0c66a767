package page

// Name is the name of the page in the folder of a run, a sweep or a study.
const Name = "report.html"

// Bounds of a page.
const (
	// MaxBytes bounds the file. If tables make it larger, they are cut until it fits, and say so.
	MaxBytes = 5 << 20
	// MaxRows bounds the rows of a table; there may be a thousand components.
	MaxRows = 1000
	// MaxColumns bounds the columns of a table.
	MaxColumns = 32
	// MaxSections, MaxTables and MaxCharts bound what is on a page, MaxTables and MaxCharts what is in a section.
	MaxSections = 40
	MaxTables   = 24
	MaxCharts   = 24
	// MaxSVG bounds the bytes of a chart, and of all charts together with MaxCharts × MaxSections far too much: that is an error.
	MaxSVG = 256 << 10
	// MaxCell and MaxText bound the letters of a cell and of a sentence; longer ones are cut.
	MaxCell = 160
	MaxText = 600
	// MaxSentences bounds those of a summary, of notes and of a list; MaxCommands the commands.
	MaxSentences = 100
	MaxCommands  = 16
	MaxCommand   = 4000 // letters
)

// Document is what is on a page. All texts are plain.
type Document struct {
	Kind  string // what it is of: "live run", "sweep"
	Title string
	// Verdict is how it ended, in a word or two; Bad if it did not end well.
	Verdict string
	Bad     bool
	// Sentences are the summary, the most important first.
	Sentences []string
	Sections  []Section
	// Repeat are the commands that make it again, and RepeatNotes what else must be the same.
	Repeat      []string
	RepeatNotes []string
	// Limits are what the numbers do not say.
	Limits []string
}

// Section is a part of a page. An empty one is left out.
type Section struct {
	Title  string
	Notes  []string
	Charts []Chart
	Tables []Table
	// List is of long texts, such as warnings.
	List []string
	// Folded puts it at the end of the page and shows only the title until somebody asks; it is printed whole.
	Folded bool
}

func (s *Section) empty() bool {
	for i := range s.Tables {
		if len(s.Tables[i].Rows) > 0 {
			return false
		}
	}
	return len(s.Charts) == 0 && len(s.List) == 0 && len(s.Notes) == 0
}

// Table of texts. Columns whose cells are numbers are set to the right.
type Table struct {
	Caption string
	Head    []string
	Rows    [][]string
	// LeftOut counts rows that its maker left out, beside those that MaxRows does.
	LeftOut uint64
}

// Chart is a plot of sim/report/plot without a title.
type Chart struct {
	Title string
	SVG   string
	Note  string
}
